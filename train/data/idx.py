"""The idx files of MNIST and its successors, gzipped or not.

Layout (http://yann.lecun.com/exdb/mnist): two zero bytes, element type (8: unsigned byte), number of axes,
the extents as big-endian uint32, then the data.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array, DataError
from runtimes.errors import first_line
from train.data.labelled_items import LabelledItems

FASHION_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LABELS_FILE = "labels.txt"
_PREFIXES = {"train": "train", "test": "t10k"}
_SUFFIXES = {"images": "images-idx3-ubyte", "labels": "labels-idx1-ubyte"}
_FOLDERS = (".", "raw", "FashionMNIST/raw", "fashion-mnist")
"""Where the files may lie under the path given: there, or as torchvision and Debian put them."""
_UNSIGNED_BYTE = 0x08


def find_idx_folder(data: Path) -> Path | None:
    """The folder at or below `data` that holds the four files; None when there is none."""
    for folder in (data / inner for inner in _FOLDERS):
        if _file(folder, "train", "images") is not None:
            return folder
    return None


class IdxFolder:
    """A folder of idx files with a training and a test part.

    Class names come from ``labels.txt`` beside the files (one a line); else they are Fashion-MNIST's where
    the path says so; else the class numbers.

    Args:
        folder: As `find_idx_folder` gives it.

    Raises:
        DataError: A file is missing or damaged, or the files contradict each other.
    """

    channels = "grey"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[str, tuple[Array, Array]] = {}
        self.splits = tuple(name for name in _PREFIXES if _file(folder, name, "images") is not None)
        images, targets = self._part("train")
        self.size_wh: tuple[int, int] | None = (images.shape[2], images.shape[1])
        self._labels, self.names_classes = _labels(folder, int(targets.max()) + 1)

    def read(self, split: str) -> LabelledItems:
        """Pictures uint8 (N, H, W) with their classes, in file order."""
        images, targets = self._part(split)
        if int(targets.max()) >= len(self._labels):
            raise DataError(
                f"Data {self._folder.name!r}",
                got=f"class {int(targets.max())} in its {split} part",
                expected=f"classes 0 to {len(self._labels) - 1}",
                fix=f"Name every class in {LABELS_FILE}.",
            )
        return LabelledItems(images, targets, self._labels, lambda at: images[at].tobytes())

    def _part(self, split: str) -> tuple[Array, Array]:
        if split not in self._parts:
            images = _read(self._folder, split, "images", axes=3)
            targets = _read(self._folder, split, "labels", axes=1)
            if len(images) != len(targets) or not len(images):
                raise DataError(
                    f"Data {self._folder.name!r}",
                    got=f"{len(images)} pictures and {len(targets)} labels in its {split} part",
                    expected="as many of the one as of the other, and at least one",
                    fix="Fetch the files again.",
                )
            self._parts[split] = images, targets.astype(np.int64)
        return self._parts[split]


def read_idx(path: Path) -> Array:
    """One idx file of unsigned bytes, gzipped when its name ends in ``.gz``.

    Raises:
        DataError: It cannot be read, or is not what its header says.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTE:
            raise ValueError("no idx header for unsigned bytes")
        shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
        start = 4 + 4 * raw[3]
        count = int(np.prod(shape, dtype=np.int64))
        if len(raw) - start != count:
            raise ValueError(f"{len(raw) - start} bytes where {count} should be")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise DataError(
            f"Data file {path.name!r}",
            got=f"a damaged file ({first_line(error)})",
            expected="an idx file of unsigned bytes, whole",
            fix="Fetch it again.",
        ) from error
    return np.frombuffer(raw, np.uint8, count, start).reshape(shape)


def _file(folder: Path, split: str, what: str) -> Path | None:
    name = f"{_PREFIXES[split]}-{_SUFFIXES[what]}"
    # torchvision 0.1 and some mirrors wrote a dot in place of the second dash.
    names = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    return next((folder / n for n in names if (folder / n).is_file()), None)


def _read(folder: Path, split: str, what: str, axes: int) -> Array:
    path = _file(folder, split, what)
    if path is None:
        raise DataError(
            f"Data {folder.name!r}",
            got=f"no {_PREFIXES[split]}-{_SUFFIXES[what]}[.gz]",
            expected="pictures and labels of each part",
            fix="Fetch the missing file.",
        )
    array = read_idx(path)
    if array.ndim != axes:
        raise DataError(
            f"Data file {path.name!r}",
            got=f"{array.ndim} axes",
            expected=f"{axes}",
            fix="Check that the file is what its name says.",
        )
    return array


def _labels(folder: Path, classes: int) -> tuple[tuple[str, ...], bool]:
    file = folder / LABELS_FILE
    if file.is_file():
        try:
            lines: list[Any] = [line.strip() for line in file.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise _bad_labels(f"{first_line(error)}", classes) from error
        names = tuple(line for line in lines if line)
        if len(names) < classes or len(set(names)) != len(names):
            raise _bad_labels(f"{len(set(names))} different names", classes)
        return names, True
    if _says_fashion_mnist(folder) and classes <= len(FASHION_LABELS):
        return FASHION_LABELS, True
    return tuple(str(label) for label in range(max(2, classes))), False


def _says_fashion_mnist(folder: Path) -> bool:
    spelled = (part.lower().replace("-", "").replace("_", "") for part in folder.resolve().parts)
    return any("fashionmnist" in part for part in spelled)


def _bad_labels(got: str, classes: int) -> DataError:
    return DataError(
        f"File {LABELS_FILE!r}",
        got=got,
        expected=f"a different name for each of {classes} classes, one a line",
        fix="Correct the file.",
    )
