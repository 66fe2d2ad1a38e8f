"""Percentiles: their intervals cover what they say, and their counts are MLPerf's."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from sdk.bench.order_statistics import (
    binomial_pmf,
    early_stopping_discards,
    effective_count,
    estimate,
    fewest_for,
    rank_of,
)

SAMPLES = 300
# 95 % intervals; three standard errors of a share of 300 are 3.8 points. Discreteness makes them wider yet.
COVERED = (0.912, 1.0)
# Batch means know little of the tail of dependent draws: what is asked of them is not to be far off.
COVERED_DEPENDENT = (0.85, 1.0)
CORRELATION = 0.9


def independent(random: np.random.Generator, count: int) -> Any:
    return random.standard_normal(count)


def dependent(random: np.random.Generator, count: int) -> Any:
    """An AR(1) process with a standard normal distribution."""
    noise = random.standard_normal(count) * math.sqrt(1 - CORRELATION**2)
    values = np.empty(count)
    values[0] = random.standard_normal()
    for at in range(1, count):
        values[at] = CORRELATION * values[at - 1] + noise[at]
    return values


@pytest.mark.parametrize(("quantile", "count"), [(0.9, 64), (0.99, 662)], ids=["p90", "p99"])
def test_fewest_predictions_are_those_that_mlperf_publishes(quantile: float, count: int) -> None:
    assert fewest_for(quantile) == count
    assert early_stopping_discards(count, quantile) == 1
    assert early_stopping_discards(count - 1, quantile) == 0


@pytest.mark.parametrize(
    ("quantile", "table"),
    [(0.9, {64: 1, 81: 2, 97: 3, 113: 4, 127: 5}), (0.99, {662: 1, 838: 2, 1001: 3})],
    ids=["p90", "p99"],
)
def test_discards_grow_at_mlperfs_counts(quantile: float, table: dict[int, int]) -> None:
    for count, discards in table.items():
        assert early_stopping_discards(count, quantile) == discards
        assert early_stopping_discards(count - 1, quantile) == discards - 1


def test_binomial_pmf_is_the_textbooks() -> None:
    trials, chance = 12, 0.3
    expected = [math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(trials + 1)]

    np.testing.assert_allclose(binomial_pmf(trials, chance), expected, rtol=1e-12)
    assert binomial_pmf(100_000, 0.99).sum() == pytest.approx(1, abs=1e-6)


def test_rank_is_loadgens() -> None:
    assert [rank_of(0.9, count) for count in (1, 10, 100)] == [0, 9, 90]


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    ("draw", "covered"),
    [(independent, COVERED), (dependent, COVERED_DEPENDENT)],
    ids=["independent", "AR(1)"],
)
def test_intervals_cover_the_true_percentile(
    draw: Callable[..., Any], covered: tuple[float, float], quantile: float
) -> None:
    random, true = np.random.default_rng(7), math.exp(NormalDist().inv_cdf(quantile))
    hits = 0
    for _ in range(SAMPLES):
        found = estimate(np.exp(draw(random, 2000)), quantile)
        low = -math.inf if found.low is None else found.low
        high = math.inf if found.high is None else found.high
        hits += low <= true <= high

    assert covered[0] <= hits / SAMPLES <= covered[1]


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_early_stopping_bound_is_rarely_too_low(quantile: float) -> None:
    random, true = np.random.default_rng(3), NormalDist().inv_cdf(quantile)
    bounds = [estimate(independent(random, 800), quantile).bound for _ in range(SAMPLES)]

    # 99 %; three standard errors of a share of 300 are 1.7 points.
    assert np.mean([bound is not None and bound >= true for bound in bounds]) >= 0.973


def test_percentile_without_enough_predictions_is_none_and_says_what_it_takes() -> None:
    found = estimate(np.arange(661.0), 0.99)

    assert (found.value, found.low, found.high, found.bound, found.needs) == (None, None, None, None, 662)


def test_value_lies_within_its_interval_and_below_its_bound() -> None:
    found = estimate(np.random.default_rng(0).lognormal(0, 1, 5000), 0.99)

    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.bound is not None
    assert found.low <= found.value <= min(found.high, found.bound)


def test_effective_count_tells_dependent_from_independent() -> None:
    random = np.random.default_rng(5)

    assert effective_count(independent(random, 20_000)) > 10_000
    # (1 - r) / (1 + r) of them count for the mean of an AR(1) process with r = 0.9: one in nineteen.
    assert effective_count(dependent(random, 20_000)) < 20_000 / 6


def test_effective_count_of_equal_values_is_their_count() -> None:
    assert effective_count(np.ones(500)) == 500
