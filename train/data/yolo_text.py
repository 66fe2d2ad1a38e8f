"""YOLO's text labels: a file per picture, a line per box.

A line is ``class x y width height``: the box's centre and size as shares of the picture's, 0..1
(https://github.com/AlexeyAB/darknet). A picture with nothing in it has an empty file; a picture without a
file is an error, since nobody could tell it from one that was forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import DataError
from runtimes.errors import first_line
from train.data.boxes import (
    SPLIT_NAMES,
    SPLITS,
    BoxedImages,
    BoxTargets,
    bad_label,
    checked_targets,
    named_labels,
    no_boxes,
    pictures_in,
    require_pictures,
    upright_size,
)

NAME_FILES = ("labels.txt", "classes.txt", "obj.names")
YAML_FILES = ("data.yaml", "dataset.yaml", "data.yml")
_COLUMNS = 5
_LINE = "class, x, y, width and height, the last four from 0 to 1"


def find_yolo_parts(root: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of pictures and of labels by split; empty where `root` is no such set.

    ``root/train/{images,labels}``, ``root/{images,labels}/train``, or ``root/{images,labels}`` alone, which
    is all ``train``.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for name, split in SPLIT_NAMES.items():
        for images in (root / name / "images", root / "images" / name):
            if images.is_dir() and split not in found:
                labels = images.parent / "labels" if images.name == "images" else root / "labels" / name
                found[split] = images, labels
    if not found and (root / "images").is_dir():
        found["train"] = root / "images", root / "labels"
    return {split: found[split] for split in SPLITS if split in found}


class YoloText:
    """A set of pictures with YOLO's text labels.

    Class names come from one of `NAME_FILES` (one a line) or from ``names`` in one of `YAML_FILES`; without
    either, classes are called by their numbers.

    Args:
        root: The set's folder.
        parts: As `find_yolo_parts` gives them.

    Raises:
        DataError: A picture or a label file is missing or wrong.
    """

    def __init__(self, root: Path, parts: Mapping[str, tuple[Path, Path]]) -> None:
        self._parts = dict(parts)
        self.splits = tuple(parts)
        names = _names(root)
        self.names_classes = names is not None
        self._labels = names if names is not None else self._numbers()

    def read(self, split: str) -> BoxedImages:
        """Paths with their boxes, by name."""
        images, labels = self._parts[split]
        pictures = pictures_in(images)
        require_pictures(pictures, images)
        targets = [self._targets(picture, labels / f"{picture.stem}.txt") for picture in pictures]
        return BoxedImages(pictures, targets, self._labels)

    def _targets(self, picture: Path, file: Path) -> BoxTargets:
        rows, lines = _read_rows(picture, file)
        if not rows:
            return no_boxes()
        table = np.asarray(rows, np.float64)
        width, height = upright_size(picture)
        centre, half = table[:, 1:3], table[:, 3:5] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1) * [width, height, width, height]
        return checked_targets(
            boxes,
            table[:, 0].astype(np.int64),
            np.zeros(len(rows), bool),
            size_wh=(width, height),
            classes_known=len(self._labels),
            where=lambda at: f"Label file {file.name!r}, line {lines[at]}",
        )

    def _numbers(self) -> tuple[str, ...]:
        """A number per class, as many as the labels of all parts speak of."""
        highest = 0
        for images, labels in self._parts.values():
            for picture in pictures_in(images):
                rows, _ = _read_rows(picture, labels / f"{picture.stem}.txt")
                highest = max([highest, *(int(row[0]) for row in rows)])
        return tuple(str(number) for number in range(highest + 1))


def _read_rows(picture: Path, file: Path) -> tuple[list[list[float]], list[int]]:
    """Rows of five numbers, and the line in which each stands."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"Picture {picture.parent.name}/{picture.name}",
            got="no label file",
            expected=f"{file.parent.name}/{file.name} beside it",
            fix="Add it; an empty one says that there is nothing in the picture.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Label file {file.name!r}", got=first_line(error), expected="text",
                        fix="Correct the file.") from error  # fmt: skip
    rows, lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows.append(_row(line, f"Label file {file.name!r}, line {number}"))
            lines.append(number)
    return rows, lines


def _row(line: str, where: str) -> list[float]:
    words = line.split()
    if len(words) != _COLUMNS:
        raise bad_label(where, f"{len(words)} numbers", f"{_COLUMNS}: {_LINE}")
    try:
        row = [float(word) for word in words]
    except ValueError as error:
        raise bad_label(where, first_line(error), _LINE) from error
    if not words[0].isdecimal():
        raise bad_label(where, f"class {words[0]}", "a whole number from 0")
    outside = next(
        (word for word, value in zip(words[1:], row[1:], strict=True) if not 0 <= value <= 1), None
    )
    if outside is not None:
        raise bad_label(where, outside, _LINE)
    return row


def _names(root: Path) -> tuple[str, ...] | None:
    for name in NAME_FILES:
        if (root / name).is_file():
            return read_names(root / name)
    for name in YAML_FILES:
        if (root / name).is_file():
            return _yaml_names(root / name)
    return None


def read_names(file: Path) -> tuple[str, ...]:
    """Class names, one a line.

    Raises:
        DataError: The file cannot be read, is empty, or names a class twice.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"File {file.name!r}", got=first_line(error), expected="class names, one a line",
                        fix="Correct the path or the file.") from error  # fmt: skip
    return named_labels([line for line in lines if line.strip()], f"File {file.name!r}")


def _yaml_names(file: Path) -> tuple[str, ...] | None:
    import yaml

    try:
        tree: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"File {file.name!r}", got=first_line(error), expected="YAML with names",
                        fix="Correct the file.") from error  # fmt: skip
    names = tree.get("names") if isinstance(tree, dict) else None
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise bad_label(
                f"File {file.name!r}", f"classes {sorted(names)[:5]}", "classes from 0, none left out"
            )
        names = [names[number] for number in range(len(names))]
    return None if names is None else named_labels(names, f"File {file.name!r}")
