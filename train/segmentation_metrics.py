"""Segmentation figures: overlap and Dice per class, and bootstrap intervals over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes import Array
from train.data.masks import IGNORED

RESAMPLES = 1000
SEED = 19790101
"""Of the resampling: the same results give the same interval."""


def pixel_confusion(predicted: Array, truth: Array, classes: int) -> Array:
    """Pixels of one picture, int64 (classes, classes): a row per true class, a column per answer.

    Args:
        predicted: Class indices, uint8 (H, W).
        truth: The same; `IGNORED` pixels do not count.
        classes: How many there are.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    # A pixel that the network never saw counts as wrong: the lowest wrong class stands for it.
    unseen = predicted == IGNORED
    answer = np.where(unseen, np.where(truth == 0, 1, 0), predicted) if unseen.any() else predicted
    counts = multiclass_confusion_matrix(
        torch.from_numpy(answer.reshape(-1).astype(np.int64)),
        torch.from_numpy(truth.reshape(-1).astype(np.int64)),
        classes,
        ignore_index=IGNORED,
    )
    return counts.numpy()


@dataclass(frozen=True)
class RegionFigures:
    """What one class got over a whole split.

    Attributes:
        label: Its name.
        iou: Pixels that are it and are called so, as a share of those that are or are called so.
        dice: Twice the former over the sum of both; the F1 score of its pixels.
        pixels: How many are it.
    """

    label: str
    iou: float
    dice: float
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"label": self.label, "iou": self.iou, "dice": self.dice, "pixels": self.pixels}


def figures_by_region(confusion: Array, labels: Sequence[str]) -> list[RegionFigures]:
    """IoU and Dice per class of a summed confusion matrix; 0 for a class that is nowhere."""
    hits, there, called = _sums(confusion)
    iou = hits / np.maximum(there + called - hits, 1)
    dice = 2 * hits / np.maximum(there + called, 1)
    rows = zip(labels, iou.tolist(), dice.tolist(), there.astype(int).tolist(), strict=True)
    return [RegionFigures(*row) for row in rows]


def mean_iou(confusion: Array) -> Array:
    """Mean over the classes that occur, in truth or in answers, of intersection over union.

    Args:
        confusion: Summed over pictures, (…, classes, classes).
    """
    hits, there, called = _sums(confusion)
    union = there + called - hits
    return _mean_where(hits / np.maximum(union, 1), union > 0)


def mean_dice(confusion: Array) -> Array:
    """Mean over the classes that occur, in truth or in answers, of the Dice coefficient."""
    hits, there, called = _sums(confusion)
    return _mean_where(2 * hits / np.maximum(there + called, 1), there + called > 0)


def pixel_accuracy(confusion: Array) -> Array:
    """Share of the pixels that are called what they are."""
    hits, there, _ = _sums(confusion)
    share: Array = hits.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)
    return share


def resampled(confusions: Array, resamples: int = RESAMPLES) -> Array:
    """Summed confusion matrices of as many pictures drawn with replacement, float64 (resamples, K, K).

    Pictures are drawn, not pixels: those of one picture are right or wrong together (Efron & Tibshirani 1993,
    "An Introduction to the Bootstrap", chapter 13, percentile interval).

    Args:
        confusions: Of each picture, int64 (N, K, K).
        resamples: How often.
    """
    count, classes, _ = confusions.shape
    generator = np.random.default_rng(SEED)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = drawn.astype(np.float64) @ confusions.reshape(count, -1).astype(np.float64)
    return sums.reshape(resamples, classes, classes)


def percentile_interval(values: Array) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _sums(confusion: Array) -> tuple[Array, Array, Array]:
    """Per class the pixels that are right, that are it, and that are called it."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    return hits, confusion.sum(axis=-1).astype(np.float64), confusion.sum(axis=-2).astype(np.float64)


def _mean_where(values: Array, counted: Array) -> Array:
    mean: Array = (values * counted).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)
    return mean
