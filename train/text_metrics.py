"""How close written texts are to those wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtimes import Array

RESAMPLES, SEED = 1000, 20170825


def character_edits(written: Sequence[str], wanted: Sequence[str]) -> Array:
    """Least insertions, deletions and replacements of characters between each two texts: int64 (N,).

    Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and reversals".
    """
    from torchmetrics.functional.text import edit_distance

    edits = np.zeros(len(wanted), np.int64)
    # Most are right: what is equal needs no matrix.
    rows = [row for row, (one, other) in enumerate(zip(written, wanted, strict=True)) if one != other]
    if rows:
        found = edit_distance([written[row] for row in rows], [wanted[row] for row in rows], reduction="none")
        edits[rows] = np.atleast_1d(found.numpy()).astype(np.int64)
    return edits


def share_of_sums(parts: Array, wholes: Array) -> tuple[float, float, float]:
    """The sum of `parts` as a share of the sum of `wholes`, with its 95 % percentile interval over items
    drawn with replacement (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13).

    Args:
        parts: Of each item, (N,).
        wholes: Likewise, positive.
    """
    count = len(parts)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    shares = (drawn @ parts) / np.maximum(drawn @ wholes, 1)
    low, high = np.percentile(shares, (2.5, 97.5))
    return float(parts.sum() / max(1, wholes.sum())), float(low), float(high)
