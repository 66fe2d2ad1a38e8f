"""The gate's estimates against numbers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from sdk.compare.statistics import hodges_lehmann, paired_ratio, student_quantile, unpaired_ratio

# Tables of Student's distribution, such as NIST/SEMATECH's Engineering Statistics Handbook 1.3.6.7.2.
STUDENT = {(0.975, 5): 2.571, (0.975, 10): 2.228, (0.995, 5): 4.032, (0.995, 9): 3.250, (0.999, 11): 4.025}
SERIES_ERROR = 0.01
EXPERIMENTS, ROUNDS, BLOCKS = 200, 8, 6
TRUE_RATIO = 1.05


@pytest.mark.parametrize(("share", "freedom"), STUDENT, ids=str)
def test_student_quantile_is_that_of_the_tables(share: float, freedom: int) -> None:
    assert student_quantile(share, freedom) == pytest.approx(STUDENT[share, freedom], rel=SERIES_ERROR)


def test_hodges_lehmann_of_three_values() -> None:
    # Pairwise means with themselves: 1, 2, 9, 1.5, 5, 5.5.
    assert hodges_lehmann(np.array([1.0, 2.0, 9.0])) == pytest.approx(3.5)


def test_hodges_lehmann_withstands_spoilt_values() -> None:
    values = np.array([1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 40.0])

    assert hodges_lehmann(values) == pytest.approx(1.0, abs=0.02)


def _figures(draw: np.random.Generator, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of rounds: a mood of the machine in common, luck of each launch, noise of each block."""
    mood = np.exp(draw.normal(0, 0.3, (ROUNDS, 1)))
    sides = [
        np.exp(draw.normal(0, 0.01, (ROUNDS, 1)) + np.abs(draw.normal(0, 0.02, (ROUNDS, BLOCKS))))
        for _ in "ab"
    ]
    return mood * sides[0], ratio * mood * sides[1]


@pytest.mark.parametrize("within", [0.0, 0.5], ids=["fastest block", "middle block"])
def test_paired_interval_covers_the_truth(within: float) -> None:
    draw = np.random.default_rng(7)
    covered = 0
    for experiment in range(EXPERIMENTS):
        found = paired_ratio(*_figures(draw, TRUE_RATIO), within, 0.95, seed=experiment)
        covered += found.low <= TRUE_RATIO <= found.high

    assert covered >= 0.95 * EXPERIMENTS - 2 * (0.05 * 0.95 * EXPERIMENTS) ** 0.5


def test_paired_ratio_is_free_of_what_both_sides_share() -> None:
    draw = np.random.default_rng(3)
    baseline, candidate = _figures(draw, TRUE_RATIO)

    paired = paired_ratio(baseline, candidate, 0.0, 0.99, seed=0)
    unpaired = unpaired_ratio(baseline, candidate, 0.0, 0.99, seed=0)

    assert paired.high / paired.low < 1.1 < unpaired.high / unpaired.low


def test_ratio_turned_round_is_its_inverse() -> None:
    baseline, candidate = _figures(np.random.default_rng(5), 1.2)

    there = paired_ratio(baseline, candidate, 0.0, 0.99, seed=0)
    back = paired_ratio(candidate, baseline, 0.0, 0.99, seed=0)

    assert there.value * back.value == pytest.approx(1.0)
    assert there.low < there.value < there.high


def test_same_seed_gives_the_same_interval() -> None:
    sides = _figures(np.random.default_rng(5), 1.2)

    assert paired_ratio(*sides, 0.0, 0.99, seed=4) == paired_ratio(*sides, 0.0, 0.99, seed=4)
