"""Percentiles of latencies, how sure they are, and how many predictions each one takes.

Nothing here assumes a shape of the distribution: latencies have long, lumpy tails. A percentile is an order
statistic of the sample, its interval lies between two others, and whether there are enough predictions for
it is a binomial question. Neighbouring predictions resemble each other (a busy second slows hundreds of
them), so intervals count effective predictions, not predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EARLY_STOPPING_CONFIDENCE = 0.99
"""MLPerf Inference's own: the chance that an early-stopping bound is not below the true percentile."""
INTERVAL_CONFIDENCE = 0.95
_BATCHES = 32
"""Batches for the variance of a mean: enough for a steady estimate, each longer than a busy spell."""
_FEWEST_FOR_BATCHES = 4 * _BATCHES
_MOST_TRIALS = 100_000
"""Beyond so many effective predictions a wider interval is given instead of a finer one."""


@dataclass(frozen=True)
class Estimate:
    """One percentile of a sample.

    Attributes:
        quantile: Such as 0.99.
        value: The order statistic; None where the sample is too small to have one worth quoting.
        low: Lower end of the 95 % interval; None with `value`, and where no order statistic is low enough.
        high: Upper end of the 95 % interval; likewise.
        bound: MLPerf's early-stopping estimate: the true percentile is below it with 99 % confidence.
        needs: Predictions that it takes to quote this percentile.
    """

    quantile: float
    value: float | None
    low: float | None
    high: float | None
    bound: float | None
    needs: int


def estimate(values: Floats, quantile: float) -> Estimate:
    """A percentile with its interval and its bound, or the count that it would take.

    Args:
        values: (N,) in the order in which they were measured; any unit.
        quantile: Between 0 and 1.
    """
    count, needs = len(values), fewest_for(quantile)
    if count < needs:
        return Estimate(quantile, None, None, None, None, needs)
    ordered = np.sort(values)
    value = float(ordered[rank_of(quantile, count)])
    low, high = _interval(values, ordered, quantile)
    bound = float(ordered[count - early_stopping_discards(count, quantile)])
    return Estimate(quantile, value, low, high, bound, needs)


def rank_of(quantile: float, count: int) -> int:
    """Index in the ordered sample, as MLPerf LoadGen takes it: ⌊quantile × count⌋."""
    return min(count - 1, int(quantile * count))


def fewest_for(quantile: float) -> int:
    """Fewest predictions for an early-stopping estimate: 64 for p90 and 662 for p99, as LoadGen has it.

    One slow prediction must be possible to set aside: the smallest n with P(Binomial(n, 1 - quantile) ≤ 1)
    below one in a hundred. Source: MLPerf Inference rules, appendix "Early Stopping Criterion", and
    LoadGen's early_stopping.cc.
    """
    slow, doubt = 1 - quantile, 1 - EARLY_STOPPING_CONFIDENCE
    count = 2
    while quantile**count + count * slow * quantile ** (count - 1) >= doubt:
        count += 1
    return count


def early_stopping_discards(count: int, quantile: float) -> int:
    """The t of MLPerf's early stopping: the bound is the t-th slowest of `count` predictions.

    The largest t with P(Binomial(count, 1 - quantile) ≤ t) < 1 %; 0 where `count` is below `fewest_for`.
    """
    cumulative = np.cumsum(binomial_pmf(count, 1 - quantile))
    passing = int(np.searchsorted(cumulative, 1 - EARLY_STOPPING_CONFIDENCE))
    return max(0, passing - 1) if passing > 1 else 0


def binomial_pmf(trials: int, chance: float) -> Floats:
    """P(Binomial(trials, chance) = k) for k = 0 … trials: float64 (trials + 1,).

    By the ratio of neighbouring terms, in logarithms: no factorial overflows.
    """
    k = np.arange(trials)
    steps = np.log((trials - k) / (k + 1)) + math.log(chance / (1 - chance))
    return np.exp(trials * math.log1p(-chance) + np.concatenate([[0.0], np.cumsum(steps)]))


def effective_count(values: Floats, quantile: float = 0.5) -> float:
    """How many independent predictions tell as much of a percentile as these do.

    The variance of the share below the percentile, by means of consecutive batches, against what
    independent draws would give. Batch means: Law and Kelton, Simulation Modeling and Analysis, 9.5.3.

    Args:
        values: (N,) in the order in which they were measured.
        quantile: Of which percentile.

    Returns:
        Between 2 and N.
    """
    count = len(values)
    if count < _FEWEST_FOR_BATCHES:
        return float(count)
    size = count // _BATCHES
    threshold = np.partition(values, rank_of(quantile, count))[rank_of(quantile, count)]
    below = (values[: size * _BATCHES] < threshold).astype(np.float64)
    share = float(below.mean())
    independent = share * (1 - share) / size
    seen = float(below.reshape(_BATCHES, size).mean(axis=1).var(ddof=1))
    if seen <= independent or independent == 0:
        return float(count)
    return max(2.0, count * independent / seen)


def _interval(values: Floats, ordered: Floats, quantile: float) -> tuple[float | None, float | None]:
    """Ends of the interval: order statistics whose ranks bracket the percentile by a binomial count."""
    trials = min(_MOST_TRIALS, int(effective_count(values, quantile)))
    cumulative = np.cumsum(binomial_pmf(trials, quantile))
    tail = (1 - INTERVAL_CONFIDENCE) / 2
    # P(k-th smallest > percentile) = P(Binomial ≤ k - 1), ranks from 1; 0 means that none is low enough.
    lower = int(np.searchsorted(cumulative, tail, side="right"))
    upper = int(np.searchsorted(cumulative, 1 - tail)) + 1
    count = len(ordered)
    low = None if lower < 1 else float(ordered[max(0, math.ceil(lower / trials * count) - 1)])
    high = None if upper > trials else float(ordered[min(count - 1, math.ceil(upper / trials * count) - 1)])
    return low, high
