"""How far apart two samples are: the population stability index, Kolmogorov–Smirnov, chi-square, and friends.

In numpy and the standard library: what serves needs no scipy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from runtimes import Array

BINS = 10
"""Of the population stability index: the reference's deciles."""
SMALLEST_SHARE = 1e-3
"""Shares below this count as this in the index, whose logarithm knows no zero."""
_TERMS = 100


def psi(expected: Array, found: Array) -> float:
    """Population stability index of two distributions over the same bins: Σ (q − p) ln(q / p).

    Symmetric; 0 where they agree. Of two samples from one distribution its mean is about
    (bins − 1)(1/n + 1/m) (Yurdakul 2018, "Statistical Properties of Population Stability Index").

    Args:
        expected: Shares p of the reference, float64 (bins,), or counts.
        found: Shares q of the window, likewise.
    """
    p = np.maximum(expected / max(float(expected.sum()), 1e-300), SMALLEST_SHARE)
    q = np.maximum(found / max(float(found.sum()), 1e-300), SMALLEST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


def binned(reference: Array, values: Array) -> tuple[Array, Array]:
    """Counts of both samples in bins that the reference makes: its deciles.

    A reference with at most `BINS` different values has a bin for each of them instead, and one for all
    others.

    Args:
        reference: float32 (m,).
        values: float32 (n,).

    Returns:
        Counts of the reference and of the values, float64 (bins,) each.
    """
    known, counts = np.unique(reference, return_counts=True)
    if len(known) <= BINS:
        at = np.searchsorted(known, values)
        same = known[np.minimum(at, len(known) - 1)] == values
        where = np.where(same, at, len(known))
        return np.append(counts, 0).astype(float), np.bincount(where, minlength=len(known) + 1).astype(float)
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    # Right-closed bins, so that many equal values share one whole.
    parts = [np.searchsorted(edges, sample, side="left") for sample in (reference, values)]
    first, second = (np.bincount(part, minlength=len(edges) + 1).astype(float) for part in parts)
    return first, second


def ks_distance(reference: Array, values: Array) -> float:
    """Largest distance between two empirical distribution functions (Kolmogorov–Smirnov), 0 to 1.

    Args:
        reference: Ascending (m,).
        values: (n,), in any order.
    """
    ordered = np.sort(values)
    points = np.concatenate([reference, ordered])
    below = np.searchsorted(reference, points, side="right") / len(reference)
    found = np.searchsorted(ordered, points, side="right") / len(ordered)
    return float(np.abs(below - found).max())


def ks_p_value(distance: float, reference_count: int, count: int) -> float:
    """How likely two samples of one distribution are at least so far apart.

    The asymptotic series with Stephens' correction (Stephens 1970, "Use of the Kolmogorov–Smirnov, Cramér–von
    Mises and Related Statistics Without Extensive Tables"); too large, never too small, where values repeat.
    """
    root = math.sqrt(reference_count * count / (reference_count + count))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series converges slowly there, to 1
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * (k * scaled) ** 2) for k in range(1, _TERMS))
    return min(1.0, max(0.0, 2.0 * math.fsum(terms)))


def chi_square_p_value(expected: Array, found: Array) -> float:
    """How likely two samples of one distribution over categories differ at least so much (Pearson).

    Args:
        expected: Counts of the reference, float64 (categories,).
        found: Counts of the window, likewise.
    """
    both = expected + found
    used = both > 0
    total = both.sum()
    if used.sum() < 2 or not expected.sum() or not found.sum():
        return 1.0
    statistic = 0.0
    for counts in (expected[used], found[used]):
        wanted = both[used] * (counts.sum() / total)
        statistic += float(((counts - wanted) ** 2 / wanted).sum())
    return chi_square_survival(statistic, int(used.sum()) - 1)


def chi_square_survival(statistic: float, freedom: int) -> float:
    """Probability that a chi-square variable exceeds `statistic`.

    By the recursion Q(a + 1, x) = Q(a, x) + xᵃ e⁻ˣ / Γ(a + 1) from Q(1/2, x) = erfc(√x) or Q(1, x) = e⁻ˣ
    (Abramowitz and Stegun 6.5.22).
    """
    x = statistic / 2
    if x <= 0:
        return 1.0
    a, q = (0.5, math.erfc(math.sqrt(x))) if freedom % 2 else (1.0, math.exp(-x))
    while a < freedom / 2:
        q += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return min(1.0, q)


def category_counts(reference: Mapping[str, int], found: Mapping[str, int]) -> tuple[Array, Array]:
    """Two tallies over the same categories, sorted by name."""
    names = sorted({*reference, *found})
    first, second = (np.array([tally.get(n, 0) for n in names], float) for tally in (reference, found))
    return first, second


def mann_whitney(first: Array, second: Array) -> tuple[float, float]:
    """Whether one sample's values tend to be larger than the other's (Mann and Whitney 1947).

    Args:
        first: (n,).
        second: (m,).

    Returns:
        Probability that a value of the second is larger than one of the first (ties count half), and the
        two-sided p-value by the normal approximation with its correction for ties.
    """
    n, m = len(first), len(second)
    both = np.concatenate([first, second])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    larger = float(ranks[n:].sum()) - m * (m + 1) / 2
    total = n + m
    ties = float((counts.astype(float) ** 3 - counts).sum()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties))
    if deviation == 0:
        return 0.5, 1.0
    z = max(0.0, abs(larger - n * m / 2) - 0.5) / deviation
    return larger / (n * m), math.erfc(z / math.sqrt(2))


def two_proportions(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float, float, float]:
    """The difference of two shares (hits, trials): second minus first.

    Returns:
        The difference; the ends of its 95 % interval (Newcombe 1998, method 10: from Wilson's intervals); and
        the two-sided p-value of the pooled z test.
    """
    (hits1, n1), (hits2, n2) = first, second
    share1, share2 = hits1 / n1, hits2 / n2
    (low1, high1), (low2, high2) = wilson(hits1, n1), wilson(hits2, n2)
    difference = share2 - share1
    low = difference - math.hypot(share2 - low2, high1 - share1)
    high = difference + math.hypot(high2 - share2, share1 - low1)
    pooled = (hits1 + hits2) / (n1 + n2)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    p_value = math.erfc(abs(difference) / deviation / math.sqrt(2)) if deviation else 1.0
    return difference, low, high, p_value


def p_words(p_value: float) -> str:
    """A p-value for people."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"


def wilson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    from statistics import NormalDist  # a server that only watches does without it, and starts sooner

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, square = hits / trials, z * z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)
