"""One fold of a cross-validation: the task's own data, divided another way into what is learned from and what
chooses the epoch. The test split is not touched.

A folded task is the task itself with another `load_split`, so that whatever reads its data, the plan of a
run or an export's calibration, sees the same division. Which items a fold holds out is the task's to say
(`Task.fold_rows`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from runtimes import Array, DataError, UsageError
from sdk.spec import Spec
from train.tasks.base import Fold, Split, Task

if TYPE_CHECKING:
    from train.options import TrainOptions
    from train.plan import Plan

FACT = "fold"
"""In a checkpoint's facts: which fold of how many it was trained on."""


def task_for(options: TrainOptions) -> Task:
    """The task of a run, folded where its options say so, or the checkpoint that it starts from."""
    from train.tasks import get_task

    task = get_task(options.task)
    if options.fold is not None and options.folds is not None:
        return folded(task, Fold(options.fold, options.folds))
    if options.start is None:
        return task
    from train.start import read_checkpoint

    start = read_checkpoint(options.start, "--from", options.task)
    return folded_as(task, start.manifest.evidence.facts)


def folded_as(task: Task, facts: Mapping[str, Any]) -> Task:
    """The task with the data divided as for the run that made a checkpoint.

    Args:
        task: Not folded yet.
        facts: Of the checkpoint's evidence.
    """
    told = facts.get(FACT)
    return task if told is None else folded(task, Fold(int(told["at"]), int(told["of"])))


def folded(task: Task, fold: Fold) -> Task:
    """The same task, whose ``train`` and ``val`` are those of one fold."""
    itself = task.in_fold(fold)
    own = type(task)
    divided = type(own.__name__, (_Folded, own), {})
    result: Task = divided.__new__(divided)
    state = vars(task if itself is None else itself)
    vars(result).update(state, fold=fold, _divides=itself is None, _pool=None, _served=frozenset())
    return result


class _Folded(Task):
    """Goes before a task's class, and divides what that reads."""

    fold: Fold
    _divides: bool
    _pool: tuple[Any, Split] | None
    _served: frozenset[str]

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """One part of the data; ``train`` and ``val`` are those of the fold."""
        if split not in ("train", "val") or not self._divides:
            return super().load_split(data, split, spec)  # type: ignore[safe-super]
        self._served |= {split}
        pool = self._pooled(Path(data), spec)
        kept, held = self.fold_rows(Path(data), pool, self.fold)
        return part_of(pool, held if split == "val" else kept, split)

    def plan(self, options: TrainOptions) -> Plan:
        """The task's own plan, which remembers its fold.

        Raises:
            UsageError: The task reads its training data past `load_split`.
        """
        self._served = frozenset()
        plan = super().plan(options)  # type: ignore[safe-super]
        if self._divides and self._served != {"train", "val"}:
            raise UsageError(f"Task {self.name!r}", got="--folds", fix="Leave --folds out.",
                             expected="a task whose plan reads its data by load_split")  # fmt: skip
        self._pool = None
        return replace(plan, facts={**plan.facts, FACT: {"at": self.fold.at, "of": self.fold.of}})

    def _pooled(self, data: Path, spec: Spec | None) -> Split:
        """Everything but the test split. Kept, as it is asked for twice in a row."""
        asked = (data, spec)
        if self._pool is None or self._pool[0] != asked:
            parts = [super(_Folded, self).load_split(data, name, spec) for name in ("train", "val")]  # type: ignore[safe-super]
            self._pool = asked, pooled(*parts)
        return self._pool[1]


def pooled(train: Split, val: Split) -> Split:
    """Two splits as one: the items of the first, then those of the second.

    Raises:
        DataError: They have different classes, and targets that cannot be renumbered.
    """
    targets = [train.targets, val.targets]
    labels = train.labels
    if val.labels != labels:
        labels = tuple(dict.fromkeys((*train.labels, *val.labels)))
        targets = [_renumbered(split, labels) for split in (train, val)]
    has_truth = len(train.targets) > 0 and len(val.targets) > 0
    return replace(
        train,
        items=_joined(train.items, val.items),
        targets=_joined(*targets) if has_truth else (),
        labels=labels,
        sha256=hashlib.sha256(f"{train.sha256} {val.sha256}".encode()).hexdigest(),
    )


def part_of(pool: Split, rows: Array, name: str) -> Split:
    """Some items of a split as a split of their own.

    Args:
        pool: The split.
        rows: Which, in their order, int64 (n,).
        name: Of the part.
    """
    digest = hashlib.sha256(pool.sha256.encode() + np.ascontiguousarray(rows, "<i8").tobytes())
    return replace(
        pool,
        name=name,
        items=_taken(pool.items, rows),
        targets=_taken(pool.targets, rows) if len(pool.targets) else (),
        sha256=digest.hexdigest(),
    )


class _Picked(Sequence[Any]):
    """Entries of sequences that load what they are asked for: nothing is loaded before."""

    def __init__(self, parts: Sequence[Sequence[Any]], rows: Sequence[tuple[int, int]]) -> None:
        self._parts, self._rows = parts, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> _Picked: ...

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return _Picked(self._parts, self._rows[at])
        part, row = self._rows[at]
        return self._parts[part][row]

    def taken(self, rows: Array) -> _Picked:
        """Some of them, in the order of `rows`."""
        return _Picked(self._parts, [self._rows[row] for row in rows.tolist()])


def _joined(one: Sequence[Any], other: Sequence[Any]) -> Sequence[Any]:
    arrays = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    if arrays and one.dtype == other.dtype and one.shape[1:] == other.shape[1:]:
        joined: Any = np.concatenate([one, other])
        return joined  # type: ignore[no-any-return]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return [*one, *other]
    rows = [(part, row) for part, held in enumerate((one, other)) for row in range(len(held))]
    return _Picked((one, other), rows)


def _taken(entries: Sequence[Any], rows: Array) -> Sequence[Any]:
    if isinstance(entries, np.ndarray):
        return entries[rows]
    return entries.taken(rows) if isinstance(entries, _Picked) else [entries[row] for row in rows.tolist()]


def _renumbered(split: Split, labels: tuple[str, ...]) -> Array:
    """Targets with classes numbered as in `labels`."""
    targets = np.asarray(split.targets)
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise DataError(f"Split {split.name!r}", got="other classes than the training data",
                        expected="the same, to divide both into folds",
                        fix="Name the same classes in all parts.")  # fmt: skip
    numbers = np.array([labels.index(label) for label in split.labels], np.int64)
    return numbers[targets]
