"""How each kind of data is divided into folds, and that nothing of what is held out is learned from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from tests.train.box_sets import random_boxes, write_yolo
from tests.train.mask_sets import write_set
from tests.train.small_data import COLOURS, write_pictures
from train.data.series_csv import Division
from train.data.text_corpus import fold_of
from train.folds import folded
from train.tasks import get_task
from train.tasks.base import Fold
from train.tasks.medical import MedicalTask

FOLDS = 3
HOURS = 2600


def _all(task: str, data: Path) -> list[tuple[list[str], list[str]]]:
    """Of each fold, what is learned from and what is held out, as text."""
    found = []
    for at in range(1, FOLDS + 1):
        one = folded(get_task(task), Fold(at, FOLDS))
        parts = [one.load_split(data, name) for name in ("train", "val")]
        assert all(len(split.targets) in (0, len(split)) for split in parts)
        learned, held = ([str(item) for item in split.items] for split in parts)
        found.append((learned, held))
    return found


def _require_partition(found: list[tuple[list[str], list[str]]]) -> None:
    everything = sorted(item for _, held in found for item in held)
    assert len(set(everything)) == len(everything)
    for learned, held in found:
        assert not set(learned) & set(held)
        assert sorted([*learned, *held]) == everything


def test_boxes_are_divided(tmp_path: Path) -> None:
    for part, count in (("train", 7), ("val", 3)):
        write_yolo(tmp_path, part, {f"{part}{at}": random_boxes(at) for at in range(count)})
    _require_partition(_all("detection", tmp_path))


def test_masks_are_divided_with_their_pictures(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set")
    _require_partition(_all("segmentation", data))
    val = folded(get_task("segmentation"), Fold(1, FOLDS)).load_split(data, "val")
    whole = [get_task("segmentation").load_split(data, name) for name in ("train", "val")]
    masks = {str(item): split.targets[at] for split in whole for at, item in enumerate(split.items)}
    assert all((mask == masks[str(item)]).all() for item, mask in zip(val.items, val.targets, strict=True))


def test_texts_of_each_class_are_divided_alike(tmp_path: Path) -> None:
    lines = [f"{'good' if at % 3 else 'bad'}\tfilm number {at}" for at in range(60)]
    (tmp_path / "films.tsv").write_text("label\ttext\n" + "\n".join(lines) + "\n")
    _require_partition(_all("text", tmp_path / "films.tsv"))
    for at in range(1, FOLDS + 1):
        val = folded(get_task("text"), Fold(at, FOLDS)).load_split(tmp_path / "films.tsv", "val")
        counts = np.bincount(np.asarray(val.targets))
        assert counts.tolist() in ([6, 14], [7, 13], [6, 13], [7, 14], [14, 6], [13, 7])


def test_pairs_with_one_target_stay_together(tmp_path: Path) -> None:
    lines = [f"{word} {at}\t{at}" for at in range(20) for word in ("day", "the day", "on day")]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    _require_partition(_all("seq2seq", tmp_path / "pairs.tsv"))
    for learned, held in _all("seq2seq", tmp_path / "pairs.tsv"):
        assert not {item.split()[-1] for item in learned} & {item.split()[-1] for item in held}


def _write_patients(root: Path) -> None:
    for at, label in enumerate(("red", "blue")):
        for patient in range(4):
            folder = root / label / f"{label}{patient}"
            write_pictures(folder, COLOURS[label], 2 + patient, seed=10 * at + patient)


def test_patients_are_kept_together(tmp_path: Path) -> None:
    _write_patients(tmp_path)
    held_patients = []
    for at in range(1, FOLDS + 1):
        task = folded(MedicalTask(patients="folder"), Fold(at, FOLDS))
        learned, held = (
            {path.parent.name for path in task.load_split(tmp_path, name).items} for name in ("train", "val")
        )
        assert not learned & held
        assert {name[:3] for name in held} == {"red", "blu"}
        held_patients += sorted(held)
    assert len(held_patients) == len(set(held_patients)) == 8


def test_neighbouring_pictures_are_held_out_of_every_patient(tmp_path: Path) -> None:
    _write_patients(tmp_path / "train")
    for at, label in enumerate(("red", "blue")):
        write_pictures(tmp_path / "test" / label / "other", COLOURS[label], 2, seed=99 + at)
    task = folded(MedicalTask(patients="folder", hold_out="neighbours"), Fold(1, 2))
    train, val = (task.load_split(tmp_path, name) for name in ("train", "val"))
    assert not {*map(str, train.items)} & {*map(str, val.items)}
    assert {path.parent.name for path in val.items} == {path.parent.name for path in train.items}


def test_series_learns_from_what_came_before_alone(tmp_path: Path) -> None:
    begin = dt.datetime(2024, 1, 1)
    rows = [f"{begin + dt.timedelta(hours=at)},{at % 24 + at / 100}" for at in range(HOURS)]
    (tmp_path / "load.csv").write_text("time,load\n" + "\n".join(rows) + "\n")
    task = get_task("forecast")
    ends, test_rows = [], set()
    for at in range(1, FOLDS + 1):
        one = folded(task, Fold(at, FOLDS))
        assert (
            one.load_split(tmp_path / "load.csv", "test").sha256
            == task.load_split(tmp_path / "load.csv", "test").sha256
        )
        train, val = (one.load_split(tmp_path / "load.csv", name) for name in ("train", "val"))
        # The last hour that is learned from comes before the first that is forecast.
        last_learned = train.items[-1].times[-1]
        context = len(val.items[0].times) - len(val.targets[0].values)
        assert last_learned < val.items[0].times[context]
        ends.append(val.items[-1].times[-1])
        test_rows.add(one.load_split(tmp_path / "load.csv", "test").items[0].times[-1])
    assert ends == sorted(ends) and len(set(ends)) == FOLDS and len(test_rows) == 1


def test_rows_of_folds_of_a_series_lie_before_the_test() -> None:
    for at in range(1, FOLDS + 1):
        ranges = Division(test_rows=200, fold=(at, FOLDS)).ranges(1000)
        assert ranges["train"] == (0, 200 * at) and ranges["val"] == (200 * at, 200 * (at + 1))
        assert ranges["test"] == (800, 1000)


@pytest.mark.parametrize("count", [2, 30], ids=["few", "many"])
def test_documents_or_blocks_of_them_are_held_out_once(count: int) -> None:
    documents = ["".join(f"document {at}, line {line}\n" for line in range(30)) for at in range(count)]
    held_lines: list[str] = []
    for at in range(1, FOLDS + 1):
        kept, held = fold_of(documents, at, FOLDS)
        kept_lines = [line for text in kept for line in text.splitlines()]
        lines = [line for text in held for line in text.splitlines()]
        assert not set(kept_lines) & set(lines)
        assert len(kept_lines) + len(lines) == 30 * count
        held_lines += lines
    assert sorted(held_lines) == sorted(line for text in documents for line in text.splitlines())
