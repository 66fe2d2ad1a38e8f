"""Statistics against tables, published examples and counting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sdk.monitor.statistics import (
    binned,
    chi_square_p_value,
    chi_square_survival,
    ks_distance,
    ks_p_value,
    mann_whitney,
    psi,
    two_proportions,
    wilson,
)

TABLE = 6e-5
"""Printed tables round to four digits."""


def test_psi_by_hand() -> None:
    expected, found = np.array([50.0, 50.0]), np.array([30.0, 70.0])
    assert psi(expected, found) == pytest.approx(-0.2 * math.log(0.6) + 0.2 * math.log(1.4))
    assert psi(expected, found) == pytest.approx(psi(found, expected)), "it is symmetric"
    assert psi(expected, 10 * expected) == 0


def test_psi_of_an_empty_bin_is_finite() -> None:
    assert 1 < psi(np.array([50.0, 50.0]), np.array([0.0, 100.0])) < 10


def test_bins_are_deciles_of_the_reference() -> None:
    counts, found = binned(np.arange(1000, dtype=np.float32), np.full(7, 999.0, np.float32))
    assert counts.tolist() == [100] * 10
    assert found.tolist() == [0] * 9 + [7]


def test_bins_of_few_values_are_those_values() -> None:
    reference = np.array([0, 0, 1, 3], np.float32)
    counts, found = binned(reference, np.array([0, 2, 3, 3], np.float32))
    assert counts.tolist() == [2, 1, 1, 0]
    assert found.tolist() == [1, 0, 2, 1], "what the reference does not have is in the last"


@pytest.mark.parametrize(
    ("statistic", "freedom", "p_value"),
    [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (16.918978, 9, 0.05), (23.209251, 10, 0.01)],
)
def test_chi_square_is_that_of_tables(statistic: float, freedom: int, p_value: float) -> None:
    assert chi_square_survival(statistic, freedom) == pytest.approx(p_value, abs=TABLE)


def test_chi_square_of_two_tallies() -> None:
    p_value = chi_square_p_value(np.array([20.0, 30.0, 50.0]), np.array([30.0, 30.0, 40.0]))
    assert p_value == pytest.approx(math.exp(-0.5 * (2 + 10 / 9)), abs=1e-9), "χ² is 2 + 10/9, two degrees"
    assert chi_square_p_value(np.array([5.0]), np.array([9.0])) == 1


def test_ks_distance_by_hand() -> None:
    assert ks_distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6])) == 0.5
    assert ks_distance(np.array([1.0, 1, 2]), np.array([1.0, 2, 1])) == 0, "equal values are no distance"


@pytest.mark.parametrize(("scaled", "p_value"), [(1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)])
def test_ks_p_value_is_that_of_tables(scaled: float, p_value: float) -> None:
    many = 10**8
    assert ks_p_value(scaled / math.sqrt(many / 2), many, many) == pytest.approx(p_value, rel=1e-3)


def test_ks_p_value_of_no_distance_is_one() -> None:
    assert ks_p_value(0.0, 100, 100) == 1


def test_mann_whitney_against_every_pair() -> None:
    draw = np.random.default_rng(1)
    first, second = np.round(draw.normal(size=40), 1), np.round(draw.normal(0.4, size=50), 1)
    pairs = [(b > a) + 0.5 * (b == a) for a, b in itertools.product(first, second)]
    larger, p_value = mann_whitney(first, second)
    assert larger == pytest.approx(np.mean(pairs))
    assert 0 < p_value < 1
    assert mann_whitney(second, first) == (pytest.approx(1 - larger), pytest.approx(p_value))
    assert mann_whitney(np.ones(5), np.ones(9)) == (0.5, 1.0)


def test_mann_whitney_false_alarms_are_as_rare_as_promised() -> None:
    draw = np.random.default_rng(2)
    alarms = sum(mann_whitney(draw.normal(size=80), draw.normal(size=60))[1] <= 0.05 for _ in range(400))
    assert 8 <= alarms <= 36, "20 of 400 are expected; outside of this range lies one in a thousand"


def test_two_proportions_is_newcombes_example() -> None:
    """Newcombe 1998, table II, example (a), method 10: 56/70 and 48/80."""
    difference, low, high, p_value = two_proportions((48, 80), (56, 70))
    assert (difference, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=TABLE)
    assert p_value == pytest.approx(0.00805, abs=TABLE)


def test_wilson_interval_stays_within_shares() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=TABLE)
    assert wilson(10, 10)[1] == 1.0
