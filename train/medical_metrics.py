"""What a diagnostic test is judged by: sensitivity, specificity and ROC-AUC, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from runtimes import Array
from train.metrics import Z_95, wilson_interval

_BISECTIONS = 60


class Rate(NamedTuple):
    """A share of 1 with its 95 % interval, and on how many samples it was measured."""

    value: float
    low: float
    high: float
    samples: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class ClassRates:
    """One class against all others; None where the data has none of one of the two.

    Attributes:
        label: Its name.
        sensitivity: Of those that are this, the share called so.
        specificity: Of those that are not, the share not called so.
        auc: Chance that one that is this gets a higher score than one that is not.
        samples: How many are this.
    """

    label: str
    sensitivity: Rate | None
    specificity: Rate | None
    auc: Rate | None
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        rates = {"sensitivity": self.sensitivity, "specificity": self.specificity, "roc_auc": self.auc}
        return {
            "label": self.label,
            **{name: None if rate is None else rate._asdict() for name, rate in rates.items()},
            "samples": self.samples,
        }


def rates_by_class(scores: Array, targets: Array, labels: Sequence[str]) -> list[ClassRates]:
    """Every class against all others.

    Args:
        scores: Probabilities, float32 (N, classes); the highest is the answer.
        targets: Class indices, int64 (N,).
        labels: A name per class.
    """
    predicted = scores.argmax(axis=1)
    found = []
    for index, label in enumerate(labels):
        there, called = targets == index, predicted == index
        found.append(
            ClassRates(
                label,
                _rate(int((there & called).sum()), int(there.sum())),
                _rate(int((~there & ~called).sum()), int((~there).sum())),
                roc_auc(scores[:, index], there),
                int(there.sum()),
            )
        )
    return found


def mean_rate(rates: Sequence[Rate | None]) -> Rate | None:
    """Mean over classes, None if one is; its ends are the means of theirs: wider than chance needs."""
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates) or not known:
        return None
    value, low, high = (float(np.mean(column)) for column in list(zip(*known, strict=True))[:3])
    return Rate(value, low, high, known[0].samples)


def roc_auc(scores: Array, positive: Array) -> Rate | None:
    """Area under the ROC curve with its interval; None where one of the two kinds is missing.

    Args:
        scores: Of the positive class, (N,).
        positive: Which are, bool (N,).
    """
    import torch
    from torchmetrics.functional.classification import binary_auroc

    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    found = binary_auroc(torch.from_numpy(scores.astype(np.float64)), torch.from_numpy(positive))
    # Summed in 32 bit, a perfect separation comes out beside 1 in the seventh digit (torchmetrics 1.9).
    area = round(min(max(float(found), 0.0), 1.0), 6)
    return Rate(area, *auc_interval(area, positives, negatives), positives + negatives)


def auc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % interval of a ROC-AUC: the areas from which `area` is less than 1.96 deviations away.

    Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    Statistics in Medicine 25, 559-573, method 5. The deviation is that of Hanley & McNeil 1982 with both
    group sizes replaced by their mean, at the true area instead of the measured one: so the interval of a
    perfect separation of few samples is wide, as it should be, and all intervals stay inside 0..1.
    """
    half = (positives + negatives) / 2 - 1

    def deviation(true: float) -> float:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        return math.sqrt(true * (1 - true) * spread / (positives * negatives))

    def end(outer: float) -> float:
        near, far = area, outer
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            if abs(area - middle) <= Z_95 * deviation(middle):
                near = middle
            else:
                far = middle
        return near

    return end(0.0), end(1.0)


def _rate(hits: int, samples: int) -> Rate | None:
    if not samples:
        return None
    return Rate(hits / samples, *wilson_interval(hits, samples), samples)
