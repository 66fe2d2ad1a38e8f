"""The task interface, as training and export use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from runtimes import DataError, UsageError
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import Spec
from tests.train.small_data import CLASSES, write_idx_folder
from train.options import TrainOptions
from train.tasks import TASKS, get_task
from train.tasks.base import Split

TASK = get_task("product")


def _results(indices: list[int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(index=index) for index in indices]


def _split(targets: list[int]) -> Split:
    return Split("test", list(range(len(targets))), np.array(targets), ("a", "b", "c"), "")


@pytest.fixture
def spec(quick: Callable[..., TrainOptions]) -> Spec:
    return TASK.plan(quick()).spec


def _labelled(spec: Spec, *labels: str) -> Spec:
    return replace(spec, output=ClassificationOutput(labels, "softmax", 2, 1.0))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_found_by_its_name(name: str) -> None:
    assert get_task(name).name == name


def test_unknown_task_is_refused() -> None:
    with pytest.raises(UsageError, match="Task: got 'poetry'"):
        get_task("poetry")


def test_train_and_val_are_held_apart(colour_folder: Path) -> None:
    train, val = (TASK.load_split(colour_folder, name) for name in ("train", "val"))
    assert (len(train), len(val)) == (54, 6)
    assert not set(train.items) & set(val.items)
    assert np.bincount(val.targets).tolist() == [2, 2, 2]
    assert train.sha256 != val.sha256


def test_own_parts_are_used_as_they_are(split_folder: Path) -> None:
    sizes = {name: len(TASK.load_split(split_folder, name)) for name in ("train", "val", "test")}
    assert sizes == {"train": 36, "val": 12, "test": 18}
    assert TASK.proof_split(split_folder) == "test"


def test_test_pictures_never_enter_train_or_val(tmp_path: Path) -> None:
    data = write_idx_folder(tmp_path / "data")
    parts = {name: TASK.load_split(data, name) for name in ("train", "val", "test")}
    assert len(parts["train"]) + len(parts["val"]) == 30
    assert len(parts["test"]) == 30
    assert not {item.tobytes() for item in parts["test"].items} & {
        item.tobytes() for name in ("train", "val") for item in parts[name].items
    }


def test_data_without_a_test_part_is_proved_on_val(colour_folder: Path) -> None:
    assert TASK.proof_split(colour_folder) == "val"
    with pytest.raises(DataError, match="got no test part"):
        TASK.load_split(colour_folder, "test")


def test_classes_are_numbered_as_in_the_checkpoint(colour_folder: Path, spec: Spec) -> None:
    plain = TASK.load_split(colour_folder, "val", spec)
    turned = TASK.load_split(colour_folder, "val", _labelled(spec, *reversed(CLASSES)))
    assert turned.labels == tuple(reversed(CLASSES))
    assert [turned.labels[t] for t in turned.targets] == [plain.labels[t] for t in plain.targets]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("blue", "green"), "class 'red' in the data alone"),
        ((*CLASSES, "yellow"), "class 'yellow' in the checkpoint alone"),
        (("a", "b", "c"), "in the checkpoint alone|in the data alone"),
    ],
    ids=["fewer", "more", "other"],
)
def test_labels_that_disagree_with_the_checkpoint_are_refused(
    colour_folder: Path, spec: Spec, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        TASK.load_split(colour_folder, "val", _labelled(spec, *labels))


def test_unnamed_classes_take_the_checkpoint_names(tmp_path: Path, spec: Spec) -> None:
    data = write_idx_folder(tmp_path / "digits")
    assert TASK.load_split(data, "test", _labelled(spec, "nil", "one", "two")).labels == ("nil", "one", "two")
    with pytest.raises(DataError, match="Data 'digits'"):
        TASK.load_split(data, "test", _labelled(spec, "nil", "one"))


def test_measure_by_hand() -> None:
    (metric,) = TASK.measure(_results([0, 1, 1, 2]), _split([0, 1, 2, 2]))
    assert (metric.name, metric.value, metric.samples, metric.split) == ("accuracy", 0.75, 4, "test")
    assert metric.low < 0.75 < metric.high


def test_agreement_by_hand() -> None:
    assert TASK.agreement(_results([0, 1, 2, 2]), _results([0, 1, 1, 2])) == 0.75


def test_report_by_hand() -> None:
    report = TASK.report(_results([0, 1, 1, 2]), _split([0, 1, 2, 2]))
    assert report.figures["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert report.rows[1] == ("b", "50.0%", "100.0%", "66.7%", "1")
    assert set(report.pictures) == {"confusion_matrix.png"}


@pytest.mark.parametrize(
    ("targets", "count", "rows"),
    [
        ([0, 0, 1, 1, 2, 2], 3, [0, 2, 4]),
        ([2, 1, 0, 0], 3, [2, 1, 0]),
        ([0, 0, 0, 1], 3, [0, 3, 1]),
        ([0, 1], 8, [0, 1]),
        (list(range(10)) * 2, 4, [0, 3, 6, 9]),
    ],
    ids=["one each", "by class", "filled up", "all there are", "spread"],
)
def test_golden_rows_spread_over_the_classes(targets: list[int], count: int, rows: list[int]) -> None:
    assert TASK.golden_rows(_split(targets), count) == rows


def test_weighted_sampling_gives_every_class_the_same_weight(quick: Callable[..., TrainOptions]) -> None:
    assert TASK.plan(quick()).weights is None
    plan = TASK.plan(quick(weighted_sampling=True))
    targets = np.asarray(plan.splits.train.targets)
    per_class = [plan.weights[targets == label].sum() for label in range(3)]
    assert per_class == pytest.approx([per_class[0]] * 3)
