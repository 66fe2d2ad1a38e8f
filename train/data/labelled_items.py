"""What every reader of labelled pictures or texts gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtimes import Array, DataError


@dataclass(frozen=True)
class LabelledItems:
    """Items with one class each.

    Attributes:
        items: Paths, uint8 arrays, or strings that are texts.
        targets: Class index of each, int64 (N,).
        labels: A name per class.
        fingerprint: Of one item by its index: bytes that change when the item does.
    """

    items: Sequence[Any]
    targets: Array
    labels: tuple[str, ...]
    fingerprint: Callable[[int], bytes]

    def take(self, rows: Array) -> LabelledItems:
        """Some of them, in the order of `rows` (int64)."""
        if isinstance(self.items, np.ndarray):
            items: Sequence[Any] = self.items[rows]
        else:
            items = [self.items[row] for row in rows]
        fingerprint = self.fingerprint
        return LabelledItems(items, self.targets[rows], self.labels, lambda at: fingerprint(int(rows[at])))

    def renumbered(self, labels: Sequence[str], data: Path, *, named: bool = True) -> LabelledItems:
        """The same items with classes numbered as in a checkpoint.

        Args:
            labels: The checkpoint's.
            data: Where the items lie, for messages.
            named: Whether their own labels are names; where they are but numbers, those are kept.

        Raises:
            DataError: There are other classes here than there.
        """
        labels = tuple(labels)
        if not named and int(self.targets.max()) < len(labels):
            return replace(self, labels=labels)
        odd = sorted(set(self.labels) ^ set(labels))
        shown = ", ".join(labels[:5]) + ", …" * (len(labels) > 5)
        if odd:
            where = "data" if odd[0] in self.labels else "checkpoint"
            raise DataError(
                f"Data {data.name!r}",
                got=f"class {odd[0]!r} in the {where} alone",
                expected=f"the checkpoint's {len(labels)} classes: {shown}",
                fix="Use the data that the checkpoint was trained for.",
            )
        numbers = np.array([labels.index(label) for label in self.labels], np.int64)
        return replace(self, targets=numbers[self.targets], labels=labels)

    def sha256(self) -> str:
        """Hash over all items, targets and labels, in order."""
        digest = hashlib.sha256("\n".join(self.labels).encode())
        digest.update(np.ascontiguousarray(self.targets, "<i8").tobytes())
        for at in range(len(self.targets)):
            digest.update(self.fingerprint(at))
        return digest.hexdigest()


class LabelledSource(Protocol):
    """One data set on disk.

    Attributes:
        splits: Which of ``train``, ``val`` and ``test`` it has of its own.
    """

    splits: tuple[str, ...]

    def read(self, split: str) -> LabelledItems:
        """One of its own splits, in a fixed order."""


class ImageSource(LabelledSource, Protocol):
    """One data set of pictures on disk.

    Attributes:
        channels: ``grey`` or ``rgb``.
        size_wh: Size of its pictures where all are alike, else None.
        names_classes: Whether its labels are names, or just numbers for want of any.
    """

    channels: str
    size_wh: tuple[int, int] | None
    names_classes: bool


HELD_OUT_SHARE = 0.1
HELD_OUT_SEED = 20170825
"""Fixed, whatever the run's seed: `export` must find the same validation split again."""


def read_part(source: LabelledSource, data: Path, split: str, least: int) -> LabelledItems:
    """One part of the items; where there is no ``val``, part of ``train`` is held out for it.

    Args:
        source: The data set.
        data: Where it lies, for messages.
        split: ``train``, ``val`` or ``test``.
        least: Items of each class that are held out, at least.

    Raises:
        DataError: There is no such part, or a class has a single item.
    """
    if split == "test" or (split in source.splits and not (split == "train" and "val" not in source.splits)):
        if split not in source.splits:
            raise DataError(f"Data {data.name!r}", got="no test part", expected=f"one of {source.splits}",
                            fix="Add one, or use its val part.")  # fmt: skip
        return source.read(split)
    items = source.read("train")
    kept, held = stratified_hold_out(items.targets, HELD_OUT_SHARE, HELD_OUT_SEED, least)
    return items.take(held if split == "val" else kept)


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
