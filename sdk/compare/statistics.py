"""The gate's statistics: a robust ratio from rounds, and an interval by hierarchical bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from runtimes import Array
from sdk.compare.rounds import LaunchRecord

RESAMPLES = 2000
FASTEST = 20


@dataclass(frozen=True)
class Ratio:
    """Candidate over baseline; above 1 the candidate needs more.

    Attributes:
        value: Point estimate.
        low: Lower end of its interval.
        high: Upper end.
        confidence: Of the interval, such as 0.99.
    """

    value: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def block_figures(records: Sequence[LaunchRecord], quantile: float) -> Array:
    """The quantile of each block's durations: float64 (launches, blocks), in seconds."""
    return np.array([[np.quantile(block, quantile) for block in record.blocks_s] for record in records])


def fastest_runs(records: Sequence[LaunchRecord]) -> Array:
    """The fastest predictions of each launch, in ascending order: float64 (launches, `FASTEST`), in seconds.

    The minimum of a launch's predictions drawn with replacement is among these for all that matters, so they
    can stand for all of them in the bootstrap of a minimum.
    """
    runs = [np.sort(np.concatenate(record.blocks_s)) for record in records]
    fewest = min(FASTEST, *(len(one) for one in runs))
    return np.array([one[:fewest] for one in runs])


def paired_ratio(baseline: Array, candidate: Array, within: float, confidence: float, seed: int) -> Ratio:
    """Ratio of two contestants that took turns in the same rounds.

    Each launch is summed up by the quantile `within` of its figures; each round gives the logarithm of the
    ratio; their centre is the Hodges–Lehmann estimate (Hodges and Lehmann 1963), which a few spoilt rounds
    do not move. For the interval rounds are drawn with replacement, and within each drawn launch its figures:
    the two levels on which the noise lives.

    Args:
        baseline: Figures (rounds, figures of a launch), positive.
        candidate: The same of the candidate; row i was measured together with the baseline's row i.
        within: Quantile, from 0 to 1.
        confidence: Of the interval.
        seed: Of the resampling.
    """
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, len(baseline), (RESAMPLES, len(baseline)))
    sums = [_resampled(side, rows, within, draw) for side in (baseline, candidate)]
    centres = hodges_lehmann(np.log(sums[1]) - np.log(sums[0]))
    logs = np.log(np.quantile(candidate, within, axis=1) / np.quantile(baseline, within, axis=1))
    return _ratio(float(hodges_lehmann(logs)), centres, len(logs), confidence)


def unpaired_ratio(baseline: Array, candidate: Array, within: float, confidence: float, seed: int) -> Ratio:
    """Ratio of two contestants that were measured at different times; its interval is wider for it.

    Args are those of `paired_ratio`; the two may differ in the number of launches.
    """
    draw = np.random.default_rng(seed)
    centres, values = [], []
    for side in (baseline, candidate):
        rows = draw.integers(0, len(side), (RESAMPLES, len(side)))
        centres.append(hodges_lehmann(np.log(_resampled(side, rows, within, draw))))
        values.append(float(hodges_lehmann(np.log(np.quantile(side, within, axis=1)))))
    fewest = min(len(baseline), len(candidate))
    return _ratio(values[1] - values[0], centres[1] - centres[0], fewest, confidence)


def hodges_lehmann(values: Array) -> Array:
    """Median of all pairwise means along the last axis, each value with itself among them."""
    first, second = np.triu_indices(values.shape[-1])
    return np.asarray(np.median((values[..., first] + values[..., second]) / 2, axis=-1))


def _resampled(figures: Array, rows: Array, within: float, draw: np.random.Generator) -> Array:
    """Launch figures (resamples, rounds) of the drawn rows, each with its figures drawn anew."""
    inside = draw.integers(0, figures.shape[1], (*rows.shape, figures.shape[1]))
    return np.asarray(np.quantile(figures[rows[..., None], inside], within, axis=-1))


def _ratio(centre: float, centres: Array, rounds: int, confidence: float) -> Ratio:
    below = _expanded((1 - confidence) / 2, rounds)
    low, high = np.quantile(centres, (below, 1 - below))
    return Ratio(math.exp(centre), math.exp(min(low, centre)), math.exp(max(high, centre)), confidence)


def _expanded(below: float, rounds: int) -> float:
    """The share to cut off so that an interval from few rounds is as wide as it ought to be.

    Percentile intervals of n values are too narrow by √((n−1)/n) and by the difference between the normal
    and Student's distribution; cutting off less makes up for both (Hesterberg 2015, "What Teachers Should
    Know About the Bootstrap", section 5.1).
    """
    normal = NormalDist()
    return normal.cdf(-math.sqrt(rounds / (rounds - 1)) * student_quantile(1 - below, rounds - 1))


def student_quantile(share: float, freedom: int) -> float:
    """Quantile of Student's distribution by its Cornish–Fisher series (Abramowitz and Stegun 26.7.5)."""
    x = NormalDist().inv_cdf(share)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / freedom ** (power + 1) for power, term in enumerate(terms))
