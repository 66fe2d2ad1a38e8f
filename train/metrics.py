"""Classification figures: accuracy with its interval, and what each class got."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes import Array

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: a two-sided 95 % interval."""


def wilson_interval(hits: int, samples: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927, JASA 22, 209-212).

    Unlike the usual normal interval it stays inside 0..1 and is honest near both ends.
    """
    if samples < 1:
        raise ValueError("an interval needs at least one sample")
    share, z2 = hits / samples, Z_95**2
    centre = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = Z_95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2)) / (1 + z2 / samples)
    return max(0.0, centre - half), min(1.0, centre + half)


_RESAMPLES = 400


@dataclass(frozen=True)
class ClassFigures:
    """What one class got.

    Attributes:
        label: Its name.
        precision: Of those called this, the share that are.
        recall: Of those that are this, the share called so.
        f1: Harmonic mean of the two.
        samples: How many are this.
    """

    label: str
    precision: float
    recall: float
    f1: float
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "label": self.label,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "samples": self.samples,
        }


def figures_by_class(predicted: Array, targets: Array, labels: Sequence[str]) -> list[ClassFigures]:
    """Precision, recall and F1 per class; 0 where a class was never predicted or never there.

    Args:
        predicted: Class indices, int64 (N,).
        targets: Class indices, int64 (N,).
        labels: A name per class.
    """
    import torch
    from torchmetrics.functional.classification import (
        multiclass_f1_score,
        multiclass_precision,
        multiclass_recall,
    )

    pair = torch.from_numpy(predicted), torch.from_numpy(targets)
    how: dict[str, Any] = {"num_classes": len(labels), "average": None}
    columns = (
        multiclass_precision(*pair, **how).tolist(),
        multiclass_recall(*pair, **how).tolist(),
        multiclass_f1_score(*pair, **how).tolist(),
        np.bincount(targets, minlength=len(labels)).tolist(),
    )
    return [ClassFigures(*row) for row in zip(labels, *columns, strict=True)]


def confusion(predicted: Array, targets: Array, classes: int) -> Array:
    """Confusion matrix int64 (classes, classes): a row per true class, a column per predicted one."""
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    matrix = multiclass_confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(targets), classes)
    return matrix.numpy()


def macro_f1(predicted: Array, targets: Array, classes: int) -> tuple[float, float, float]:
    """The mean F1 of all classes, and its 95 % interval.

    A class that was neither predicted nor there counts as 0. The interval is the percentile bootstrap over
    samples (Efron & Tibshirani 1993, section 13.3), always with the same draws.

    Args:
        predicted: Class indices, int64 (N,).
        targets: Class indices, int64 (N,).
        classes: How many there are.
    """
    cells = targets * classes + predicted
    counts = np.bincount(cells, minlength=classes**2)
    # Drawing N samples with replacement draws the cells' counts from a multinomial distribution.
    drawn = np.random.default_rng(0).multinomial(len(cells), counts / len(cells), _RESAMPLES)
    found = _macro_f1(np.concatenate([counts[None], drawn]).reshape(-1, classes, classes))
    low, high = np.quantile(found[1:], (0.025, 0.975))
    return float(found[0]), float(low), float(high)


def _macro_f1(matrices: Array) -> Array:
    """Of confusion matrices (M, classes, classes) the macro F1 each, float64 (M,)."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    both = matrices.sum(axis=1) + matrices.sum(axis=2)
    return np.asarray((2.0 * hits / np.maximum(both, 1)).mean(axis=1))


def mean_interval(values: Array) -> tuple[float, float]:
    """95 % interval of the mean of many shares 0..1, from their deviation (normal approximation).

    Args:
        values: float64 (N,), N at least 1.
    """
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 1.0
    return max(0.0, mean - half), min(1.0, mean + half)
