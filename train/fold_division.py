"""Dividing items into folds: which fold holds out each of them.

All of these are functions of their arguments alone, with a fixed seed, whatever the run's: a search over
options then compares like with like, and `export` finds the same division again.
"""

from __future__ import annotations

import numpy as np

from runtimes import Array, DataError

DIVISION_SEED = 20170825


def plain_folds(count: int, folds: int) -> Array:
    """Items in a random order, dealt out in turn.

    Args:
        count: Number of items.
        folds: Number of folds.

    Returns:
        The fold of each, 0..folds-1, int64 (count,).

    Raises:
        DataError: There are fewer items than folds.
    """
    if count < folds:
        raise _too_few(count, folds)
    chosen = np.empty(count, np.int64)
    chosen[np.random.default_rng(DIVISION_SEED).permutation(count)] = np.arange(count) % folds
    return chosen


def stratified_folds(targets: Array, folds: int, labels: tuple[str, ...]) -> Array:
    """Every class divided alike: its items in a random order, dealt out in turn.

    Each class goes on dealing where the one before it stopped, so that folds are of one size.

    Args:
        targets: Class indices, int64 (N,).
        folds: Number of folds.
        labels: A name per class.

    Returns:
        The fold of each, 0..folds-1, int64 (N,).

    Raises:
        DataError: A class has fewer items than there are folds.
    """
    generator = np.random.default_rng(DIVISION_SEED)
    chosen, dealt = np.empty(len(targets), np.int64), 0
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        _require(len(rows), folds, labels[label], "items")
        chosen[generator.permutation(rows)] = (dealt + np.arange(len(rows))) % folds
        dealt += len(rows)
    return chosen


def grouped_folds(targets: Array, groups: Array, folds: int, labels: tuple[str, ...]) -> Array:
    """Whole groups, such as patients, dealt so that every fold has about its share of each class.

    The groups with most items come first, each to the fold in which it evens out the classes best: their
    counts' sum of squares, each class in shares of itself, stays lowest.

    Args:
        targets: Class indices, int64 (N,).
        groups: Number of each item's group, int64 (N,).
        folds: Number of folds.
        labels: A name per class.

    Returns:
        The fold of each, 0..folds-1, int64 (N,).

    Raises:
        DataError: A class is in fewer groups than there are folds.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(targets, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (group_of, class_of), 1)
    for at, label in enumerate(classes):
        _require(int((counts[:, at] > 0).sum()), folds, labels[label], "patients")
    shares = counts / counts.sum(axis=0)
    order = np.random.default_rng(DIVISION_SEED).permutation(len(names))
    order = order[np.argsort(-counts.sum(axis=1)[order], kind="stable")]
    held, fold_of = np.zeros((folds, len(classes))), np.empty(len(names), np.int64)
    for group in order:
        grown = ((held + shares[group]) ** 2).sum(axis=1) - (held**2).sum(axis=1)
        # Of folds that are as good, the one with least in it.
        fold_of[group] = np.lexsort((held.sum(axis=1), grown.round(12)))[0]
        held[fold_of[group]] += shares[group]
    return fold_of[group_of]


def neighbour_folds(targets: Array, groups: Array, folds: int) -> Array:
    """Of each group and class, one run of neighbouring items a fold.

    Args:
        targets: Class indices, int64 (N,).
        groups: Number of each item's group, int64 (N,).
        folds: Number of folds.

    Returns:
        The fold of each, 0..folds-1, int64 (N,).
    """
    chosen = np.empty(len(targets), np.int64)
    for label in np.unique(targets):
        for group in np.unique(groups[targets == label]):
            rows = np.flatnonzero((targets == label) & (groups == group))
            chosen[rows] = np.arange(len(rows)) * folds // len(rows)
    return chosen


def blocked_folds(count: int, folds: int) -> Array:
    """Runs of neighbouring items, for what has an order.

    Args:
        count: Number of items, in their order.
        folds: Number of folds.

    Returns:
        The fold of each, 0..folds-1, rising, int64 (count,).

    Raises:
        DataError: There are fewer items than folds.
    """
    if count < folds:
        raise _too_few(count, folds)
    return np.arange(count, dtype=np.int64) * folds // count


def _too_few(count: int, folds: int) -> DataError:
    return DataError("Option --folds", got=f"{folds} for {count} items", expected="an item for each at least",
                     fix="Say fewer folds, or add data.")  # fmt: skip


def _require(count: int, folds: int, label: str, what: str) -> None:
    if count < folds:
        raise DataError(
            f"Class {label!r}",
            got=f"{count} {what} for {folds} folds",
            expected="at least one for each fold",
            fix=f"Say --folds {count} or fewer, or add {what}." if count > 1 else f"Add {what}.",
        )
