"""A folded task: the same task, with its data divided another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from runtimes import DataError, UsageError
from tests.train.small_data import CLASSES, write_idx_folder, write_pictures
from train.folds import FACT, folded, folded_as, pooled
from train.options import make_options
from train.tasks import get_task
from train.tasks.base import Fold, Split, Task
from train.tasks.product import ProductTask

FOLDS = 3


def _items(split: Split) -> list[str]:
    return [str(item) for item in split.items]


def test_folds_hold_out_every_item_once_and_leave_the_test_split(split_folder: Path) -> None:
    task = get_task("product")
    test = task.load_split(split_folder, "test")
    whole = {item for name in ("train", "val") for item in _items(task.load_split(split_folder, name))}
    held: list[str] = []
    for at in range(1, FOLDS + 1):
        one = folded(task, Fold(at, FOLDS))
        train, val = (one.load_split(split_folder, name) for name in ("train", "val"))
        assert not set(_items(train)) & set(_items(val))
        assert set(_items(train)) | set(_items(val)) == whole
        for split in (train, val):
            truth = [Path(item).parent.name for item in _items(split)]
            assert [split.labels[target] for target in split.targets] == truth
        assert np.bincount(val.targets).max() - np.bincount(val.targets).min() <= 1
        assert one.load_split(split_folder, "test").sha256 == test.sha256
        held += _items(val)
    assert sorted(held) == sorted(whole)


def test_fold_of_arrays_takes_their_rows(tmp_path: Path) -> None:
    data = write_idx_folder(tmp_path / "idx")
    one = folded(get_task("product"), Fold(2, FOLDS))
    train, val = (one.load_split(data, name) for name in ("train", "val"))
    assert isinstance(val.items, np.ndarray) and val.items.shape[1:] == (8, 6)
    assert len(train) + len(val) == 30
    assert train.sha256 != val.sha256


def test_fold_changes_its_hash_with_the_data(tmp_path: Path) -> None:
    for label in CLASSES:
        write_pictures(tmp_path / label, (9, 9, 9), 6, seed=1)
    first = folded(get_task("product"), Fold(1, FOLDS)).load_split(tmp_path, "val").sha256
    assert folded(get_task("product"), Fold(1, FOLDS)).load_split(tmp_path, "val").sha256 == first
    write_pictures(tmp_path / "yellow", (200, 200, 0), 6, seed=2)
    assert folded(get_task("product"), Fold(1, FOLDS)).load_split(tmp_path, "val").sha256 != first


def test_folded_task_is_its_task(colour_folder: Path) -> None:
    task = folded(get_task("product"), Fold(1, FOLDS))
    assert isinstance(task, ProductTask)
    assert (task.name, task.metric, type(task).__name__) == ("product", "accuracy", "ProductTask")


def test_fold_of_a_checkpoint_is_found_again(colour_folder: Path) -> None:
    told = {FACT: {"at": 2, "of": FOLDS}}
    again = folded_as(get_task("product"), told).load_split(colour_folder, "val")
    assert _items(again) == _items(
        folded(get_task("product"), Fold(2, FOLDS)).load_split(colour_folder, "val")
    )
    assert type(folded_as(get_task("product"), {})) is ProductTask


def test_plan_of_a_fold_remembers_it(colour_folder: Path) -> None:
    task = folded(get_task("product"), Fold(3, FOLDS))
    plan = task.plan(make_options("product", colour_folder, image_size=16, folds=FOLDS, fold=3))
    assert plan.facts[FACT] == {"at": 3, "of": FOLDS}
    assert _items(plan.splits.val) == _items(task.load_split(colour_folder, "val"))
    assert plan.splits.proof is plan.splits.val


@dataclass(frozen=True)
class _Plan:
    facts: dict[str, Any]


class _PastLoadSplit(ProductTask):
    """Its plan reads the data itself."""

    metric: ClassVar[str] = "accuracy"

    def plan(self, options: Any) -> Any:
        return _Plan({})


def test_task_whose_plan_reads_past_load_split_is_refused(colour_folder: Path) -> None:
    task = folded(_PastLoadSplit(), Fold(1, FOLDS))
    with pytest.raises(UsageError, match=r"^Task 'product': got --folds, .* Leave --folds out\.$"):
        task.plan(make_options("product", colour_folder))


class _Lazy(Sequence[Any]):
    """Loads what it is asked for, and remembers what that was."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> str:
        self.asked.append(at)
        return f"{self._name}{at}"


class _LazyTask(ProductTask):
    def load_split(self, data: Path, split: str, spec: Any = None) -> Split:
        parts = {"train": 6, "val": 3}
        return Split(split, _Lazy(split, parts[split]), (), (), f"sha of {split}")


def test_fold_of_what_is_loaded_when_asked_for_loads_nothing_itself() -> None:
    task = folded(_LazyTask(), Fold(1, FOLDS))
    val = task.load_split(Path("any"), "val")
    assert len(val) == 3 and len(val.targets) == 0
    everything = {item for name in ("train", "val") for item in task.load_split(Path("any"), name).items}
    assert everything == {f"train{at}" for at in range(6)} | {f"val{at}" for at in range(3)}
    assert list(val.items[1:]) == [val.items[1], val.items[2]]


def test_pooled_splits_number_classes_alike() -> None:
    one = Split("train", ["a", "b"], np.array([0, 1]), ("x", "y"), "1")
    other = Split("val", ["c"], np.array([0]), ("z",), "2")
    both = pooled(one, other)
    assert both.labels == ("x", "y", "z")
    assert [both.labels[target] for target in both.targets] == ["x", "y", "z"]
    with pytest.raises(DataError, match="got other classes than the training data"):
        pooled(one, replace(other, targets=["no number"]))


def test_fold_past_the_last_is_refused(colour_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^Option fold: got 4 of 3"):
        make_options("product", colour_folder, folds=FOLDS, fold=4)
    with pytest.raises(UsageError, match=r"^Option --folds: got 1, expected at least 2"):
        make_options("product", colour_folder, folds=1)


def test_base_task_divides_at_random_without_classes() -> None:
    pool = Split("train", list(range(10)), [None] * 10, (), "")
    rows = [Task.fold_rows(get_task("product"), Path(), pool, Fold(at, FOLDS)) for at in (1, 2, 3)]
    assert sorted(np.concatenate([held for _, held in rows])) == list(range(10))
    assert all(len(np.intersect1d(*pair)) == 0 for pair in rows)
