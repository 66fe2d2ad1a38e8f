"""What every task that gives an item one class shares: measure, report, and which samples are golden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from runtimes import Array
from sdk.artifact import Metric
from train.metrics import confusion, figures_by_class, wilson_interval
from train.plots import confusion_matrix_png
from train.tasks.base import Report, Split, Task


class ClassTask(Task):
    """One label per item. Results have an ``index``: of the class.

    Class attributes:
        things: What the items are, in the plural.
    """

    things: ClassVar[str]
    metric: ClassVar[str] = "accuracy"
    mode: ClassVar[str] = "max"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Accuracy with its Wilson interval."""
        predicted, targets = indices_of(results), np.asarray(split.targets)
        hits, count = int((predicted == targets).sum()), len(targets)
        low, high = wilson_interval(hits, count)
        return (Metric("accuracy", hits / count, low, high, count, split.name),)

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of items with the same best label."""
        return float((indices_of(results) == indices_of(others)).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Precision, recall and F1 per class, and the confusion matrix."""
        predicted, targets = indices_of(results), np.asarray(split.targets)
        classes = figures_by_class(predicted, targets, split.labels)
        matrix = confusion(predicted, targets, len(split.labels))
        accuracy = self.measure(results, split)[0].value
        title = f"{split.name}: {len(split):,} {self.things}, accuracy {accuracy:.2%}"
        return Report(
            figures={
                "labels": list(split.labels),
                "classes": [figures.to_dict() for figures in classes],
                "confusion_matrix": matrix.tolist(),
            },
            columns=("class", "precision", "recall", "F1", "samples"),
            rows=tuple(
                (c.label, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.1%}", f"{c.samples:,}")
                for c in classes
            ),
            pictures={"confusion_matrix.png": confusion_matrix_png(matrix, split.labels, title)},
        )

    def golden_rows(self, split: Split, count: int) -> list[int]:
        """The first item of each of `count` classes, evenly spread over the classes that are there."""
        _, first = np.unique(np.asarray(split.targets), return_index=True)
        if len(first) >= count:
            return [int(first[round(at * (len(first) - 1) / max(1, count - 1))]) for at in range(count)]
        rest = [row for row in range(len(split)) if row not in set(first.tolist())]
        return [*map(int, first), *rest[: count - len(first)]]


def indices_of(results: Sequence[Any]) -> Array:
    """The class index of each result: int64 (N,)."""
    return np.fromiter((result.index for result in results), np.int64, len(results))
