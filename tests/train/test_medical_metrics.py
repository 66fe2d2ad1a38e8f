"""Sensitivity, specificity and ROC-AUC against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.medical_metrics import auc_interval, mean_rate, rates_by_class, roc_auc

LABELS = ("well", "ill")
# Eight people: of four ill ones three are found, of four well ones one is called ill.
SCORES_ILL = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1])
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0])


def _scores(ill: np.ndarray) -> np.ndarray:
    return np.stack([1 - ill, ill], axis=1).astype(np.float32)


def test_rates_of_two_classes_by_hand() -> None:
    well, ill = rates_by_class(_scores(SCORES_ILL), TARGETS, LABELS)
    assert ill.sensitivity is not None and ill.specificity is not None and ill.auc is not None
    assert (ill.sensitivity.value, ill.specificity.value) == (0.75, 0.75)
    # Of 16 pairs of an ill and a well one, all but 0.6 < 0.7, 0.3 < 0.7 and 0.3 < 0.4 are in order.
    assert ill.auc.value == pytest.approx(13 / 16)
    assert well.sensitivity == ill.specificity and well.auc is not None
    assert well.auc.value == pytest.approx(13 / 16)
    assert ill.sensitivity.low < 0.75 < ill.sensitivity.high and ill.samples == 4


def test_ties_count_half() -> None:
    rate = roc_auc(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, False, True, False]))
    assert rate is not None and rate.value == pytest.approx(0.5)


def test_class_that_is_not_there_has_no_rates() -> None:
    _, ill = rates_by_class(_scores(SCORES_ILL[:4]), np.ones(4, np.int64), LABELS)
    assert ill.specificity is None and ill.auc is None and ill.sensitivity is not None
    assert mean_rate([ill.sensitivity, None]) is None
    assert ill.to_dict()["roc_auc"] is None


def test_mean_over_three_classes() -> None:
    scores = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    rates = rates_by_class(scores, np.array([0, 1, 2, 2]), ("a", "b", "c"))
    mean = mean_rate([rate.sensitivity for rate in rates])
    assert mean is not None and mean.value == pytest.approx((1 + 1 + 0.5) / 3)
    assert mean.low < mean.value <= mean.high


def test_auc_interval_covers_its_own_equation() -> None:
    """Each end is where the measured area is 1.96 deviations away, with the deviation written out anew."""
    area, m, n = 0.8125, 4, 4
    for end in auc_interval(area, m, n):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        half = (m + n) / 2 - 1
        variance = (end * (1 - end) + half * (q1 - end**2) + half * (q2 - end**2)) / (m * n)
        assert abs(area - end) == pytest.approx(1.959964 * variance**0.5, rel=1e-6)


def test_auc_interval_of_a_perfect_separation_is_not_a_point() -> None:
    low, high = auc_interval(1.0, 10, 10)
    assert high == pytest.approx(1.0) and 0.7 < low < 0.9
    assert auc_interval(1.0, 1000, 1000)[0] > 0.99
    assert auc_interval(0.0, 10, 10)[1] == pytest.approx(1 - low)


def test_auc_interval_covers_as_often_as_it_says() -> None:
    """2,000 samples of two normal distributions one deviation apart, true area 0.760."""
    generator = np.random.default_rng(7)
    hits, rounds, m, n = 0, 2000, 30, 40
    ill, well = generator.normal(1, 1, (rounds, m)), generator.normal(0, 1, (rounds, n))
    areas = (ill[:, :, None] > well[:, None, :]).mean(axis=(1, 2))
    for area in areas:
        low, high = auc_interval(float(area), m, n)
        hits += low <= 0.76025 <= high
    assert 0.935 < hits / rounds < 0.975
