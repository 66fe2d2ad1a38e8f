"""How well embeddings find their like: recall@1, mAP@R, and what a threshold on the cosine gives.

Every item is looked up among all others of its split (leave one out). Items whose class has no other item
are among those that may be found, but are not looked up: nothing could be right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from runtimes import Array, DataError

_ROWS = 256
"""Items looked up at a time: 10,000 others make a block of 10 MB."""
_PAIRS = 200_000
"""Pairs of each sort that a threshold is chosen on."""
FALSE_MATCH_RATE = 0.01
_SEED = 20170825


@dataclass(frozen=True)
class Retrieval:
    """What each looked-up item found.

    Attributes:
        rows: Which items were looked up, int64 (Q,).
        nearest: The item that each found first, int64 (Q,).
        hits: Whether that one is of the same class, bool (Q,).
        average_precision: Average precision at R of each, float64 (Q,), 0..1.
    """

    rows: Array
    nearest: Array
    hits: Array
    average_precision: Array


def retrieve(vectors: Array, targets: Array, where: str) -> Retrieval:
    """Look every item up among all others.

    Average precision at R is ``1/R * sum(P(i) for the hits i among the first R)``, with R the number of
    others of its class and P(i) the share of hits among the first i (Musgrave et al. 2020, "A Metric Learning
    Reality Check", section 3.2).

    Args:
        vectors: float32 (N, D) of length one.
        targets: Class indices, int64 (N,).
        where: What is looked through, for the message.

    Raises:
        DataError: No class has two items.
    """
    require_pairs(targets, where)
    others = np.bincount(targets)[targets] - 1
    rows = np.flatnonzero(others > 0)
    nearest, precision = np.empty(len(rows), np.int64), np.empty(len(rows))
    for start, block in _blocks(vectors, rows):
        chosen = rows[start : start + len(block)]
        depth = int(others[chosen].max())
        ranked = _highest(block, depth)
        hits = targets[ranked] == targets[chosen][:, None]
        hits &= np.arange(depth) < others[chosen][:, None]
        precisions = np.cumsum(hits, axis=1) / np.arange(1, depth + 1)
        nearest[start : start + len(block)] = ranked[:, 0]
        precision[start : start + len(block)] = (precisions * hits).sum(axis=1) / others[chosen]
    return Retrieval(rows, nearest, targets[nearest] == targets[rows], precision)


def require_pairs(targets: Array, where: str) -> None:
    """Refuse a split in which nothing could be found.

    Args:
        targets: Class indices, int64 (N,).
        where: What the split is called, for the message.

    Raises:
        DataError: No class has two items.
    """
    if np.bincount(targets).max(initial=0) < 2:
        raise DataError(
            where,
            got="no two pictures of one class",
            expected="a class with at least two, so that one can find the other",
            fix="Add pictures.",
        )


def neighbours(vectors: Array, rows: Array, count: int) -> tuple[Array, Array]:
    """The `count` nearest others of some items: their indices and cosines, each (len(rows), count)."""
    block = vectors[rows] @ vectors.T
    block[np.arange(len(rows)), rows] = -np.inf
    ranked = _highest(block, min(count, len(vectors) - 1))
    return ranked, np.take_along_axis(block, ranked, axis=1)


class Threshold(NamedTuple):
    """A cosine from which two items count as of one class.

    Attributes:
        cosine: The threshold.
        false_matches: Share of pairs of different classes at or above it.
        true_matches: Share of pairs of one class at or above it.
    """

    cosine: float
    false_matches: float
    true_matches: float


def choose_threshold(vectors: Array, targets: Array) -> Threshold | None:
    """The lowest cosine at which at most `FALSE_MATCH_RATE` of the pairs of different classes match.

    Args:
        vectors: float32 (N, D) of length one.
        targets: Class indices, int64 (N,).

    Returns:
        None where there are no pairs of one of the sorts.
    """
    generator = np.random.default_rng(_SEED)
    pairs = generator.integers(0, len(targets), (2, 4 * _PAIRS))
    pairs = pairs[:, pairs[0] != pairs[1]]
    same = targets[pairs[0]] == targets[pairs[1]]
    alike, different = (pairs[:, sort][:, :_PAIRS] for sort in (same, ~same))
    if not alike.size or not different.size:
        return None
    cosines = [np.einsum("nd,nd->n", vectors[a], vectors[b]) for a, b in (alike, different)]
    cosine = float(np.quantile(cosines[1], 1 - FALSE_MATCH_RATE, method="higher"))
    cosine = float(np.nextafter(np.float32(cosine), np.float32(2)))
    return Threshold(cosine, float((cosines[1] >= cosine).mean()), float((cosines[0] >= cosine).mean()))


def _blocks(vectors: Array, rows: Array) -> Iterator[tuple[int, Array]]:
    """Cosines of some rows at a time with all items, an item's own at minus infinity."""
    for start in range(0, len(rows), _ROWS):
        chosen = rows[start : start + _ROWS]
        block = vectors[chosen] @ vectors.T
        block[np.arange(len(chosen)), chosen] = -np.inf
        yield start, block


def _highest(block: Array, depth: int) -> Array:
    """Columns of the `depth` largest values of each row, largest first: int64 (rows, depth)."""
    if depth < block.shape[1]:
        chosen = np.argpartition(-block, depth - 1, axis=1)[:, :depth]
    else:
        chosen = np.broadcast_to(np.arange(block.shape[1]), block.shape)
    order = np.argsort(-np.take_along_axis(block, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
