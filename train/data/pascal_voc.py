"""Pascal VOC: an XML file per picture, lists of names per part.

A box is ``xmin ymin xmax ymax`` in pixels counted from 1, the last ones inside the box (VOC2012 development
kit, section 2.1): as edges it is ``xmin - 1, ymin - 1, xmax, ymax``. Objects marked ``difficult`` are kept as
crowds: the challenge does not count them either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from runtimes import DataError
from runtimes.errors import first_line
from train.data.boxes import (
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
from train.data.yolo_text import NAME_FILES, read_names

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def find_voc_root(root: Path) -> Path | None:
    """The folder with ``Annotations`` and ``JPEGImages`` at or below `root`; None where there is none."""
    for folder in (root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))):
        if (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir():
            return folder
    return None


class PascalVoc:
    """A set in Pascal VOC's layout.

    Parts are those of ``ImageSets/Main``; without it, every picture is ``train``. Class names come from one
    of `NAME_FILES`; without it, they are the names in the annotations, sorted.

    Args:
        root: As `find_voc_root` gives it.

    Raises:
        DataError: A file is missing or wrong.
    """

    names_classes = True

    def __init__(self, root: Path) -> None:
        self._root = root
        lists = {name: root / "ImageSets" / "Main" / f"{name}.txt" for name in SPLITS}
        found = tuple(name for name, file in lists.items() if file.is_file())
        self._lists = {name: lists[name] for name in found}
        self.splits = found or ("train",)
        self._pictures = {path.stem: path for path in pictures_in(root / "JPEGImages")}
        require_pictures(list(self._pictures.values()), root / "JPEGImages")
        self._labels = self._read_labels()

    def read(self, split: str) -> BoxedImages:
        """Paths with their boxes, in the order of the part's list."""
        paths = [self._picture(stem, split) for stem in self._stems(split)]
        require_pictures(paths, self._root / "JPEGImages")
        numbers = {label: at for at, label in enumerate(self._labels)}
        return BoxedImages(paths, [self._targets(path, numbers) for path in paths], self._labels)

    def _stems(self, split: str) -> list[str]:
        if split not in self._lists:
            return sorted(self._pictures)
        return [
            line.split()[0] for line in self._lists[split].read_text("utf-8").splitlines() if line.strip()
        ]

    def _picture(self, stem: str, split: str) -> Path:
        if stem not in self._pictures:
            where = f"List {self._lists[split].name!r}"
            raise bad_label(where, repr(stem), "the name of a picture in JPEGImages")
        return self._pictures[stem]

    def _annotation(self, picture: Path) -> Path:
        return self._root / "Annotations" / f"{picture.stem}.xml"

    def _read_labels(self) -> tuple[str, ...]:
        for name in NAME_FILES:
            if (self._root / name).is_file():
                return read_names(self._root / name)
        names = {
            _text(thing, "name", path.name)
            for split in self.splits
            for path in (self._picture(stem, split) for stem in self._stems(split))
            for thing in _objects(path, self._annotation(path))
        }
        return named_labels(sorted(names), f"Data {self._root.name!r}")

    def _targets(self, picture: Path, numbers: Mapping[str, int]) -> BoxTargets:
        file = self._annotation(picture)
        things = _objects(picture, file)
        if not things:
            return no_boxes()

        def where(at: int) -> str:
            return f"Annotation {file.name!r}, object {at + 1}"

        names = [_text(thing, "name", where(at)) for at, thing in enumerate(things)]
        for at, name in enumerate(names):
            if name not in numbers:
                raise bad_label(where(at), f"class {name!r}", f"one of {', '.join(list(numbers)[:5])}")
        boxes = np.asarray([_edges(thing, where(at)) for at, thing in enumerate(things)], np.float64)
        boxes[:, :2] -= 1
        difficult = np.asarray([thing.findtext("difficult", "0").strip() == "1" for thing in things])
        classes = np.asarray([numbers[name] for name in names])
        return checked_targets(
            boxes, classes, difficult, size_wh=upright_size(picture), classes_known=len(numbers), where=where
        )


def _objects(picture: Path, file: Path) -> list[ET.Element]:
    if not file.is_file():
        raise DataError(
            f"Picture {picture.parent.name}/{picture.name}",
            got="no label file",
            expected=f"Annotations/{file.name}",
            fix="Add it; one without objects says that there is nothing in the picture.",
        )
    try:
        return ET.parse(file).getroot().findall("object")
    except (OSError, ET.ParseError) as error:
        raise bad_label(f"Annotation {file.name!r}", first_line(error), "Pascal VOC's XML") from error


def _text(thing: ET.Element, tag: str, where: str) -> str:
    text = (thing.findtext(tag) or "").strip()
    if not text:
        raise bad_label(where, f"an object without {tag}", f"a {tag}")
    return text


def _edges(thing: ET.Element, where: str) -> list[float]:
    box = thing.find("bndbox")
    try:
        edges = [float("" if box is None else box.findtext(edge) or "") for edge in _EDGES]
    except ValueError as error:
        raise bad_label(
            where, "no box, or one that is no numbers", f"bndbox with {', '.join(_EDGES)}"
        ) from error
    if not np.isfinite(edges).all():
        raise bad_label(where, f"a box {edges}", "finite numbers")
    return edges
