"""What every reader of pictures with boxes gives, and what every one of them checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from runtimes import Array, DataError
from train.data.image_folder import SUFFIXES, unreadable

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""How sets call their parts, and how they are called here."""

EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations whose upright picture has width and height exchanged."""


@dataclass(frozen=True)
class BoxTargets:
    """What is to be found in one picture.

    Attributes:
        boxes_xyxy: Left, top, right and bottom in pixels of the upright original, float32 (n, 4), inside the
            picture.
        classes: Class index of each, int64 (n,).
        crowd: bool (n,): marked by the set as a crowd or as difficult. Such boxes are not learned, and in
            measuring a detection on one counts neither for nor against.
    """

    boxes_xyxy: Array
    classes: Array
    crowd: Array

    def __len__(self) -> int:
        return len(self.classes)

    def learned(self) -> BoxTargets:
        """Without the crowds."""
        kept = ~self.crowd
        return BoxTargets(self.boxes_xyxy[kept], self.classes[kept], self.crowd[kept])


@dataclass(frozen=True)
class BoxedImages:
    """Pictures, each with any number of boxes.

    Attributes:
        items: Paths.
        targets: One entry per picture; empty where the set says nothing of what is in them.
        labels: A name per class.
    """

    items: Sequence[Path]
    targets: Sequence[BoxTargets]
    labels: tuple[str, ...]

    def take(self, rows: Array) -> BoxedImages:
        """Some of them, in the order of `rows` (int64)."""
        return replace(
            self, items=[self.items[row] for row in rows], targets=[self.targets[row] for row in rows]
        )

    def sha256(self) -> str:
        """Hash over labels, boxes, and every picture's name and size in bytes, in order."""
        digest = hashlib.sha256("\n".join(self.labels).encode())
        for path in self.items:
            digest.update(f"{path.name}\0{path.stat().st_size}\n".encode())
        for target in self.targets:
            digest.update(np.ascontiguousarray(target.boxes_xyxy, "<f4").tobytes())
            digest.update(np.ascontiguousarray(target.classes, "<i8").tobytes())
            digest.update(target.crowd.tobytes())
        return digest.hexdigest()


class BoxSource(Protocol):
    """One data set on disk.

    Attributes:
        splits: Which of ``train``, ``val`` and ``test`` it has of its own.
        names_classes: Whether its labels are names, or just numbers for want of any.
    """

    splits: tuple[str, ...]
    names_classes: bool

    def read(self, split: str) -> BoxedImages:
        """One of its own splits, in a fixed order.

        Raises:
            DataError: A picture or a label is missing, or is not what it should be.
        """


def checked_targets(
    boxes_xyxy: Array,
    classes: Array,
    crowd: Array,
    *,
    size_wh: tuple[int, int],
    classes_known: int,
    where: Callable[[int], str],
) -> BoxTargets:
    """Boxes of one picture, clipped to it, after everything that can be wrong with one was ruled out.

    Args:
        boxes_xyxy: In pixels of the upright picture, float64 (n, 4).
        classes: Class indices, int64 (n,).
        crowd: bool (n,).
        size_wh: Of the picture.
        classes_known: How many classes there are.
        where: Names a box by its index, for messages.

    Raises:
        DataError: A class is past the list, a box has no area, or it lies outside the picture.
    """
    for at, label in enumerate(classes.tolist()):
        if not 0 <= label < classes_known:
            raise bad_label(where(at), f"class {label}", f"a class from 0 to {classes_known - 1}")
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    for at in np.flatnonzero(~(sides > 0).all(axis=1)):
        raise bad_label(where(int(at)), "a box without area", "a width and a height above 0")
    limits = np.asarray([*size_wh, *size_wh], np.float64)
    clipped = np.clip(boxes_xyxy, 0.0, limits)
    for at in np.flatnonzero(~((clipped[:, 2:] - clipped[:, :2]) > 0).all(axis=1)):
        width, height = size_wh
        raise bad_label(where(int(at)), "a box outside its picture", f"one inside its {width}×{height} px")
    return BoxTargets(clipped.astype(np.float32), classes.astype(np.int64), crowd.astype(bool))


def bad_label(where: str, got: str, expected: str) -> DataError:
    """The error for one box."""
    return DataError(where, got=got, expected=expected, fix="Correct or remove it.")


def no_boxes() -> BoxTargets:
    """Of a picture in which there is nothing to be found."""
    return BoxTargets(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, not below it, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture after its EXIF orientation, from its header alone.

    Raises:
        DataError: It is no picture.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(EXIF_ORIENTATION)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error
    return (height, width) if orientation in _SIDEWAYS else (width, height)


def require_pictures(pictures: Sequence[Path], folder: Path) -> None:
    """Raise `DataError` for a part without pictures."""
    if not pictures:
        raise DataError(
            f"Folder {folder.parent.name}/{folder.name}",
            got="no pictures",
            expected=f"at least one of {', '.join(SUFFIXES)}",
            fix="Add pictures, or remove the folder.",
        )


def named_labels(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Class names as a set gives them.

    Raises:
        DataError: There is none, or one is there twice.
    """
    labels = tuple(str(name).strip() for name in names)
    if not labels or len(set(labels)) != len(labels) or not all(labels):
        raise DataError(
            what,
            got=f"{len(labels)} names, {len(set(labels) - {''})} of them different",
            expected="a different name for each class",
            fix="Correct the file.",
        )
    return labels
