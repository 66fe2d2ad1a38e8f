"""Folders of pictures with a mask each: an 8-bit PNG whose pixel values are class indices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from runtimes import Array, DataError
from runtimes.errors import first_line
from sdk.results.segmentation import UNSEEN
from train.data.boxes import SPLITS, pictures_in, upright_size

LABELS_FILE = "labels.txt"
IMAGES, MASKS = "images", "masks"
IGNORED = UNSEEN
"""A mask's value for pixels that are neither learned nor judged."""
_INDEX_MODES = ("L", "P", "1")


class MaskFiles(Sequence[Array]):
    """Masks that are read when they are asked for: uint8 (H, W), class indices or `IGNORED`.

    Args:
        paths: One file per picture.
        classes: How many classes there are.
        numbers: What a file's value becomes, uint8 (256,); None leaves them.
    """

    def __init__(self, paths: Sequence[Path], classes: int, numbers: Array | None = None) -> None:
        self.paths = paths
        self._classes = classes
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, at: int) -> Array: ...

    @overload
    def __getitem__(self, at: slice) -> MaskFiles: ...

    def __getitem__(self, at: int | slice) -> Array | MaskFiles:
        """One mask.

        Raises:
            DataError: The file cannot be read, or holds a value past the classes.
        """
        if isinstance(at, slice):
            return MaskFiles(self.paths[at], self._classes, self._numbers)
        mask = read_mask(self.paths[at], self._classes)
        return mask if self._numbers is None else self._numbers[mask]

    def renumbered(self, numbers: Array) -> MaskFiles:
        """The same files with other class indices: ``numbers[value]``, uint8 (256,)."""
        return MaskFiles(self.paths, self._classes, numbers)


@dataclass(frozen=True)
class MaskedImages:
    """Pictures, each with a mask.

    Attributes:
        items: Paths.
        masks: One per picture; empty where the set has none.
        labels: A name per class.
    """

    items: Sequence[Path]
    masks: Sequence[Array]
    labels: tuple[str, ...]

    def take(self, rows: Array) -> MaskedImages:
        """Some of them, in the order of `rows` (int64)."""
        masks: Any = self.masks
        if len(masks):
            masks = MaskFiles([masks.paths[row] for row in rows], len(self.labels))
        return replace(self, items=[self.items[row] for row in rows], masks=masks)

    def sha256(self) -> str:
        """Hash over labels and every file's folder, name and size in bytes, in order."""
        digest = hashlib.sha256("\n".join(self.labels).encode())
        for path in [*self.items, *getattr(self.masks, "paths", ())]:
            digest.update(f"{path.parent.name}/{path.name}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()


class MaskFolder:
    """``root/{train,val,test}/{images,masks}``, or ``root/{images,masks}``, with ``root/labels.txt``.

    A picture and its mask share their stem. A part without ``masks`` is one without truth; so is a plain
    folder of pictures. Sizes are compared in the headers at once, pixel values when a mask is read.

    Args:
        root: The folder.

    Raises:
        DataError: It is in neither layout, or its list of labels is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts = _parts(root)
        self.splits = tuple(self._parts)
        self.has_truth = {name: (folder / MASKS).is_dir() for name, folder in self._parts.items()}
        self.labels = read_labels(root / LABELS_FILE) if any(self.has_truth.values()) else ()

    def read(self, split: str) -> MaskedImages:
        """One of its own splits, sorted by name.

        Raises:
            DataError: A mask is missing, without its picture, or of another size.
        """
        folder = self._parts[split]
        inside = folder / IMAGES
        pictures = pictures_in(inside if inside.is_dir() else folder)
        if not pictures:
            raise DataError(f"Data {_shown(inside)}", got="no pictures", expected="at least one",
                            fix="Add pictures, or remove the folder.")  # fmt: skip
        if not self.has_truth[split]:
            for path in pictures:
                upright_size(path)
            return MaskedImages(pictures, (), self.labels)
        masks = _masks_of(pictures, folder / MASKS)
        for picture, mask in zip(pictures, masks, strict=True):
            _require_same_size(picture, mask)
        return MaskedImages(pictures, MaskFiles(masks, len(self.labels)), self.labels)


def open_masks(data: Path) -> MaskFolder:
    """Open a set of pictures with masks.

    Raises:
        DataError: There is none, or it cannot be used.
    """
    if not data.is_dir():
        raise DataError(f"Data {data.name!r}", got="a file" if data.exists() else "no such folder",
                        expected=f"a folder with {IMAGES}/ and {MASKS}/",
                        fix="Check the path of --data.")  # fmt: skip
    return MaskFolder(data)


def read_mask(path: Path, classes: int) -> Array:
    """One mask: uint8 (H, W), class indices or `IGNORED`.

    Raises:
        DataError: It cannot be read, is no picture of indices, or holds a class past the list.
    """
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            values = np.array(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _bad_mask(path, first_line(error), "a readable PNG", "Replace the file.") from error
    if mode not in _INDEX_MODES:
        raise _bad_mask(path, f"a picture of mode {mode}", "8-bit grey or palette, a class index per pixel",
                        "Convert it: colours do not say which class they mean.")  # fmt: skip
    mask = values.astype(np.uint8, copy=False)
    past = (mask >= classes) & (mask != IGNORED)
    if past.any():
        y, x = np.argwhere(past)[0]
        raise _bad_mask(path, f"class {mask[y, x]} at x {x}, y {y}",
                        f"a class from 0 to {classes - 1}, or {IGNORED} for pixels to ignore",
                        f"Correct it, or add the class to {LABELS_FILE}.")  # fmt: skip
    return mask


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in the order of the indices; class 0 is the background where there is one.

    Raises:
        DataError: The file is missing, or holds fewer than two, more than 255, or equal names.
    """
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"File {LABELS_FILE!r}", got=first_line(error), fix="Write one beside the pictures.",
                        expected="a class name a line, in the order of the indices") from error  # fmt: skip
    if not 2 <= len(names) <= IGNORED or len(set(names)) != len(names):
        raise DataError(f"File {LABELS_FILE!r}", got=f"{len(set(names))} different of {len(names)} names",
                        expected=f"2 to {IGNORED} different ones, one a line",
                        fix="Correct the file.")  # fmt: skip
    return names


def _parts(root: Path) -> dict[str, Path]:
    own = {name: root / name for name in SPLITS if (root / name / IMAGES).is_dir()}
    if own:
        return own
    if (root / IMAGES).is_dir():
        return {"train": root}
    if pictures_in(root):
        return {"test": root}
    raise DataError(f"Data {root.name!r}", got="a folder without pictures",
                    expected=f"{IMAGES}/ and {MASKS}/, or both in each of {', '.join(SPLITS)}",
                    fix="Arrange it so.")  # fmt: skip


def _masks_of(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """The mask of every picture, none left over."""
    by_stem = {path.stem: path for path in sorted(folder.glob("*.png"))}
    for at, picture in enumerate(pictures):
        if picture.stem not in by_stem:
            raise DataError(f"Picture {_shown(picture)}", got="no mask", fix="Add it, or remove the picture.",
                            expected=f"{MASKS}/{picture.stem}.png")  # fmt: skip
        if at and pictures[at - 1].stem == picture.stem:
            raise DataError(f"Picture {_shown(picture)}", got=f"the stem of {pictures[at - 1].name} too",
                            expected="a stem of its own, which its mask shares",
                            fix="Rename one of the two.")  # fmt: skip
    alone = sorted(set(by_stem) - {picture.stem for picture in pictures})
    if alone:
        raise DataError(f"Mask {_shown(by_stem[alone[0]])}", got="no picture of that stem", expected="one",
                        fix="Add it, or remove the mask.")  # fmt: skip
    return [by_stem[picture.stem] for picture in pictures]


def _require_same_size(picture: Path, mask: Path) -> None:
    size, own = upright_size(picture), upright_size(mask)
    if own != size:
        raise _bad_mask(mask, f"{own[0]}×{own[1]} px", f"{size[0]}×{size[1]} px, as its picture upright",
                        "Draw the mask at the size of the picture.")  # fmt: skip


def _bad_mask(path: Path, got: str, expected: str, fix: str) -> DataError:
    return DataError(f"Mask {_shown(path)}", got=got, expected=expected, fix=fix)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
