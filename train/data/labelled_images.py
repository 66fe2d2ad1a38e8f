"""What every reader of labelled pictures gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from runtimes import Array, DataError


@dataclass(frozen=True)
class LabelledImages:
    """Pictures with one class each.

    Attributes:
        items: Paths, or uint8 arrays.
        targets: Class index of each, int64 (N,).
        labels: A name per class.
        fingerprint: Of one item by its index: bytes that change when the item does.
    """

    items: Sequence[Any]
    targets: Array
    labels: tuple[str, ...]
    fingerprint: Callable[[int], bytes]

    def take(self, rows: Array) -> LabelledImages:
        """Some of them, in the order of `rows` (int64)."""
        if isinstance(self.items, np.ndarray):
            items: Sequence[Any] = self.items[rows]
        else:
            items = [self.items[row] for row in rows]
        fingerprint = self.fingerprint
        return LabelledImages(items, self.targets[rows], self.labels, lambda at: fingerprint(int(rows[at])))

    def sha256(self) -> str:
        """Hash over all items, targets and labels, in order."""
        digest = hashlib.sha256("\n".join(self.labels).encode())
        digest.update(np.ascontiguousarray(self.targets, "<i8").tobytes())
        for at in range(len(self.targets)):
            digest.update(self.fingerprint(at))
        return digest.hexdigest()


class ImageSource(Protocol):
    """One data set on disk.

    Attributes:
        splits: Which of ``train``, ``val`` and ``test`` it has of its own.
        channels: ``grey`` or ``rgb``.
        size_wh: Size of its pictures where all are alike, else None.
        names_classes: Whether its labels are names, or just numbers for want of any.
    """

    splits: tuple[str, ...]
    channels: str
    size_wh: tuple[int, int] | None
    names_classes: bool

    def read(self, split: str) -> LabelledImages:
        """One of its own splits, in a fixed order."""


def stratified_hold_out(targets: Array, fraction: float, seed: int, least: int = 1) -> tuple[Array, Array]:
    """Divide rows so that each class is divided alike.

    Args:
        targets: Class indices, int64 (N,).
        fraction: Share held out of each class.
        seed: Of the drawing.
        least: Samples held out of each class, and kept of it, at least; fewer where a class has not so many.

    Returns:
        Rows kept and rows held out, each ascending.

    Raises:
        DataError: A class has a single sample.
    """
    generator = np.random.default_rng(seed)
    held = []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        if len(rows) < 2:
            raise DataError(
                f"Class {int(label)}",
                got="a single picture",
                expected="at least two, one to train and one to validate on",
                fix="Add pictures, or remove the class.",
            )
        few = min(least, len(rows) // 2)
        count = min(len(rows) - few, max(few, round(fraction * len(rows))))
        held.append(generator.permutation(rows)[:count])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(targets)), out), out
