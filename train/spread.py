"""Intervals that cover as often as they say: a factor on their width, from rows that were not trained on."""

from __future__ import annotations

import numpy as np

from runtimes import Array


def fit_spread(quantiles: Array, truth: Array, levels: tuple[float, ...]) -> tuple[float, ...]:
    """A factor per level on the distance from the median with which intervals cover as they should.

    Split conformal prediction: the score of a row is the factor at which its interval would just reach the
    truth, and the factor taken is the scores' quantile at the interval's share (Romano et al. 2019,
    "Conformalized Quantile Regression", equations 5 to 7, with nested intervals scaled, not shifted).

    Args:
        quantiles: float (N, H, levels) of the network, not crossing.
        truth: float (N, H).
        levels: Rising, symmetric around 0.5.
    """
    middle = len(levels) // 2
    median = quantiles[..., middle].astype(np.float64)
    factors = [1.0] * len(levels)
    for at in range(middle):
        below = median - quantiles[..., at]
        above = quantiles[..., -1 - at] - median
        side = np.where(truth < median, below, above)
        scores = np.abs(truth - median) / np.maximum(side, np.finfo(np.float32).tiny)
        share = 1 - 2 * levels[at]
        rank = min(1.0, np.ceil((scores.size + 1) * share) / scores.size)
        factors[at] = factors[-1 - at] = float(np.quantile(scores, rank, method="higher"))
    return tuple(factors)
