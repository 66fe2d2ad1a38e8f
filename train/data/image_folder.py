"""Folders of pictures with a folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from runtimes import DataError, InputError
from runtimes.errors import first_line
from sdk.inputs.image_decode import decode_image
from train.data.labelled_items import LabelledItems

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
SPLITS = ("train", "val", "test")


class ImageFolder:
    """``root/class/*.png``, or ``root/{train,val,test}/class/*.png``; any of `SUFFIXES`, at any depth.

    Classes are the folders' names, sorted. The header of every picture is read at once, so that a file that
    is no picture is named before training starts.

    Args:
        root: The folder.
        same_classes: Every part must have the classes of ``train``. Else each part's classes are numbered
            for themselves.

    Raises:
        DataError: It is empty, a class has no pictures, splits have different classes, or a file is no
            picture.
    """

    suffixes = SUFFIXES
    channels = "rgb"
    size_wh: tuple[int, int] | None = None
    names_classes = True

    def __init__(self, root: Path, *, same_classes: bool = True) -> None:
        self._root = root
        inside = {folder.name: folder for folder in _folders(root)}
        own = tuple(name for name in SPLITS if name in inside)
        self.splits = own if "train" in own else ("train",)
        self._split_roots = {name: inside[name] for name in own} if "train" in own else {"train": root}
        self._files = {name: _classes(folder, self.suffixes) for name, folder in self._split_roots.items()}
        self._labels = tuple(sorted(self._files["train"]))
        self._same_classes = same_classes
        self._check()

    def read(self, split: str) -> LabelledItems:
        """Paths with their classes, sorted by class and name."""
        by_class = self._files[split]
        labels = self._labels if self._same_classes else tuple(sorted(by_class))
        paths = [path for label in labels for path in by_class[label]]
        counts = [len(by_class[label]) for label in labels]
        root = self._split_roots[split]

        def fingerprint(at: int) -> bytes:
            path = paths[at]
            return f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode()

        targets = np.repeat(np.arange(len(counts)), counts)
        return LabelledItems(paths, targets.astype(np.int64), labels, fingerprint)

    def _check(self) -> None:
        if len(self._labels) < 2:
            raise DataError(
                f"Data {self._root.name!r}",
                got=f"{len(self._labels)} class folders",
                expected="at least two, each with the pictures of one class",
                fix="Arrange it as CLASS/picture.png, or train/CLASS/picture.png.",
            )
        for split, by_class in self._files.items():
            odd = sorted(set(by_class) ^ set(self._labels))
            if odd and self._same_classes:
                raise DataError(
                    f"Data {self._root.name!r}",
                    got=f"class {odd[0]!r} in only one of its parts train and {split}",
                    expected="the same classes in each part",
                    fix="Add or remove the class folder.",
                )
            for paths in by_class.values():
                for path in paths:
                    self.require_picture(path)

    def require_picture(self, path: Path) -> None:
        """Read a file's header, and refuse what is no picture.

        Raises:
            DataError: It is none.
        """
        _require_picture(path)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"Data {root.name!r}",
            got=error.strerror or str(error),
            expected="a folder of idx files, or of a folder per class",
            fix="Check the path of --data.",
        ) from error


def _classes(root: Path, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
    found = {}
    for folder in _folders(root):
        pictures = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        if not pictures:
            raise DataError(
                f"Class folder {folder.name!r}",
                got="no pictures",
                expected=f"at least one of {', '.join(suffixes)}",
                fix="Add pictures, or remove the folder.",
            )
        found[folder.name] = pictures
    if not found:
        raise DataError(
            f"Data {root.name!r}",
            got="an empty folder" if not any(root.iterdir()) else "no class folders",
            expected="idx files, or a folder per class with its pictures",
            fix="Arrange it as CLASS/picture.png, or train/CLASS/picture.png.",
        )
    return found


def _require_picture(path: Path) -> None:
    """Header only: decoding every picture would take as long as an epoch."""
    try:
        with Image.open(path):
            return
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        pass
    try:
        decode_image(path)
    except InputError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error for one picture of a data set."""
    where = f"Picture {path.parent.name}/{path.name}"
    if isinstance(error, InputError):
        return DataError(where, got=error.got, expected=error.expected, fix=error.fix)
    return DataError(
        where, got=first_line(error), expected="a readable image", fix="Replace or remove the file."
    )
