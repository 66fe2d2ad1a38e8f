"""The interface between a task and everything that is the same for all tasks.

`train` runs any task through one loop, and `export` measures any artifact through the same `Task`. A task
says what its data is, how items become arrays and answers (its spec), what is learned from (loss), and how
good a set of answers is (measure). Modules of this package import torch only where training needs it.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from runtimes import Array, DataError
from sdk.artifact import Metric
from sdk.spec import Spec

if TYPE_CHECKING:
    from train.options import TrainOptions
    from train.plan import Plan


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        name: ``train``, ``val`` or ``test``.
        items: What `Predictor.predict` takes, one entry per sample; indexing loads nothing.
        targets: What is true of each item, in the task's own form (class indices for classification); empty
            where nothing is known.
        labels: Class names where the task has classes, else empty.
        sha256: Hash of what the split holds, to tell whether data changed.
    """

    name: str
    items: Sequence[Any]
    targets: Sequence[Any]
    labels: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.items)

    def require_truth(self, data: Path, what: str) -> None:
        """Refuse a split whose `targets` are empty: nothing can be learned from it, and no metric measured.

        Args:
            data: Where it lies, for the message.
            what: What it is needed for, such as ``pruning``.

        Raises:
            DataError: It holds no truth.
        """
        if not len(self.targets):
            raise DataError(
                f"Data {data.name!r}, split {self.name!r}",
                got="items without labels",
                expected=f"labelled ones for {what}",
                fix="Name labelled data with --data.",
            )


class Splits(NamedTuple):
    """The parts that one run uses.

    Attributes:
        train: What is learned from.
        val: What chooses the epoch.
        proof: What the chosen epoch is judged on: the test split where there is one, else `val` again.
    """

    train: Split
    val: Split
    proof: Split


class Fold(NamedTuple):
    """One of several divisions of the same data.

    Attributes:
        at: Which, from 1.
        of: How many there are.
    """

    at: int
    of: int


@dataclass(frozen=True)
class Report:
    """What is said about a trained model beyond its metrics.

    Attributes:
        figures: JSON data for ``metrics.json``.
        columns: Headings of the printed table.
        rows: Its cells as text.
        pictures: PNG bytes by file name.
    """

    figures: Mapping[str, Any]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


class Task(ABC):
    """One kind of problem.

    Class attributes:
        name: On the command line and in specs.
        summary: What it does, in half a line, for help texts.
        data_help: What data it takes, likewise.
        metric: Name of the headline metric; `measure` gives it first. Epochs are chosen by it.
        mode: ``max`` or ``min``: where the metric should go.
        models: Names of the builders that suit the task, for help texts; the first is the default.
        options_type: Frozen dataclass of the task's own options, every field with a default.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    data_help: ClassVar[str]
    metric: ClassVar[str]
    mode: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    options_type: ClassVar[type[Any]]

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the task's own options; each ``dest`` is a field of `options_type`, each default None."""

    @abstractmethod
    def defaults(self, given: Mapping[str, Any], task_options: Any) -> dict[str, Any]:
        """Defaults of the general options that depend on the task; at least ``model``, ``epochs``,
        ``batch_size`` and ``lr``.
        """

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse combinations that the task cannot honour.

        Raises:
            UsageError: There is one.
        """
        return options

    def search_space(self, options: TrainOptions) -> dict[str, str]:
        """What `edgewright tune` searches unless told otherwise: range or choices by option.

        Args:
            options: What would be trained with without a search: ranges lie around it.

        Returns:
            As in ``--space`` (see `train.tune_space`), without the names.
        """
        half, double = max(1, options.batch_size // 2), 2 * options.batch_size
        return {
            "lr": f"log:{options.lr / 10:g}..{options.lr * 5:g}",
            "weight_decay": "log:1e-4..0.3",
            "batch_size": ",".join(map(str, dict.fromkeys((half, options.batch_size, double)))),
        }

    @abstractmethod
    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """One part of the data at `data`.

        Args:
            data: Where the data lies.
            split: ``train``, ``val`` or ``test``. Where the data has no ``val``, part of ``train`` is held
                out for it, always the same part.
            spec: Of a checkpoint that will be measured on it.

        Raises:
            DataError: The data cannot be used, has no such split, or disagrees with the spec.
        """

    def fold_rows(self, data: Path, pool: Split, fold: Fold) -> tuple[Array, Array]:
        """Which items one fold of a cross-validation learns from, and which it holds out.

        By default every class is divided alike where there are classes, and items are divided at random
        where there are none. A task whose items depend on one another, as pictures of one patient or
        hours of one series do, divides them so that nothing of what is held out is in what is learned from.

        Args:
            data: Where the data lies.
            pool: Its training items, then its validation items; the test split is not among them.
            fold: Which, of how many.

        Returns:
            Rows of `pool` to learn from, and rows held out, int64 each.

        Raises:
            DataError: There is not enough to divide.
        """
        del data
        from train.fold_division import plain_folds, stratified_folds

        targets = np.asarray(pool.targets) if pool.labels and isinstance(pool.targets, np.ndarray) else None
        if targets is not None and targets.ndim == 1 and targets.dtype.kind in "iu":
            chosen = stratified_folds(targets, fold.of, pool.labels)
        else:
            chosen = plain_folds(len(pool), fold.of)
        return np.flatnonzero(chosen != fold.at - 1), np.flatnonzero(chosen == fold.at - 1)

    def in_fold(self, fold: Fold) -> Task | None:
        """The task set up so that its own `load_split` and `plan` read a fold; None where items are divided.

        For data whose parts are no sets of items, such as the rows of one series.

        Args:
            fold: Which, of how many.
        """
        del fold
        return None

    @abstractmethod
    def proof_split(self, data: Path) -> str:
        """What a checkpoint is judged on in the end: ``test`` where the data has one, else ``val``."""

    @abstractmethod
    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Metrics of one result per item, the headline first; none where the split holds no truth."""

    @abstractmethod
    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of items with the same answer, 0..1."""

    @abstractmethod
    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Everything else worth saying about the results."""

    @abstractmethod
    def plan(self, options: TrainOptions) -> Plan:
        """Load the data by `load_split`, build the network, and say how it is trained.

        Raises:
            DataError: The data cannot be trained on.
            UsageError: The options do not fit the data.
        """

    def calibrated(self, plan: Plan, raw_outputs: Callable[[Split], Mapping[str, Array]]) -> Plan:
        """The plan with what its spec can only say after training; by default nothing.

        Args:
            plan: With the chosen epoch's weights.
            raw_outputs: From a split to what the network gives for it, by name: float32 (V, N, …) for V
                views of N items.
        """
        del raw_outputs
        return plan

    def as_trained(self, facts: Mapping[str, Any]) -> Task:
        """The task set up as for the run that made a checkpoint, so that it divides the data in the same way.

        Args:
            facts: Of the checkpoint's evidence.
        """
        del facts
        return self

    def golden_rows(self, split: Split, count: int) -> list[int]:
        """Which items of a split become golden samples: `count`, evenly spread unless overridden."""
        return [round(at * (len(split) - 1) / max(1, count - 1)) for at in range(min(count, len(split)))]
