"""Figures against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.metrics import confusion, figures_by_class, wilson_interval

# a: 3 true, 2 found; b: 2 true, 1 found, once called where it is a; c: 1 true, never found.
TARGETS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 0])


def test_figures_by_class_by_hand() -> None:
    a, b, c = figures_by_class(PREDICTED, TARGETS, ("a", "b", "c"))
    assert (a.precision, a.recall, a.f1, a.samples) == (
        pytest.approx(2 / 4),
        pytest.approx(2 / 3),
        pytest.approx(4 / 7),
        3,
    )
    assert (b.precision, b.recall, b.f1, b.samples) == (pytest.approx(1 / 2),) * 3 + (2,)
    assert (c.precision, c.recall, c.f1, c.samples) == (0.0, 0.0, 0.0, 1)


def test_confusion_has_a_row_per_true_class() -> None:
    assert confusion(PREDICTED, TARGETS, 3).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("hits", "samples", "low", "high"),
    # Reference values: statsmodels.stats.proportion.proportion_confint(hits, samples, method="wilson").
    [
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (9150, 10000, 0.909372, 0.920312),
    ],
)
def test_wilson_interval_against_reference(hits: int, samples: int, low: float, high: float) -> None:
    assert wilson_interval(hits, samples) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_wilson_interval_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        wilson_interval(0, 0)
