"""Sets in COCO's JSON: one file per part with ``images``, ``annotations`` and ``categories``.

A box is ``[left, top, width, height]`` in pixels (https://cocodataset.org/#format-data). Category ids have
gaps; classes are numbered by ascending id. ``iscrowd`` regions are kept as crowds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    upright_size,
)


def find_coco_parts(root: Path) -> dict[str, Path]:
    """The JSON file of each split; empty where `root` is no such set.

    ``root/annotations/instances_train2017.json`` and the like, ``root/train.json``, or
    ``root/train/_annotations.coco.json``.
    """
    boxed = sorted((root / "annotations").glob("instances_*.json"))
    files = boxed or [*sorted((root / "annotations").glob("*.json")), *sorted(root.glob("*.json"))]
    found = {}
    for name, split in SPLIT_NAMES.items():
        beside = sorted((root / name).glob("*.json"))
        named = [file for file in files if name in file.stem.lower()]
        for file in [*named, *beside][:1]:
            found.setdefault(split, file)
    return {split: found[split] for split in SPLITS if split in found}


class CocoJson:
    """A set of pictures with boxes in COCO's JSON.

    Args:
        root: The set's folder.
        parts: As `find_coco_parts` gives them.

    Raises:
        DataError: A file is not what it should be, or the parts have different categories.
    """

    names_classes = True

    def __init__(self, root: Path, parts: Mapping[str, Path]) -> None:
        self._root = root
        self._files = dict(parts)
        self.splits = tuple(parts)
        self._trees = {split: _read(file) for split, file in parts.items()}
        first = next(iter(parts))
        self._classes = _classes(self._trees[first], parts[first])
        names = [name for name, _ in self._classes.values()]
        self._labels = named_labels(names, f"File {parts[first].name!r}")
        for split, file in parts.items():
            if _classes(self._trees[split], file) != self._classes:
                raise DataError(f"File {file.name!r}", got=f"other categories than {parts[first].name!r}",
                                expected="the same in each part", fix="Correct one of them.")  # fmt: skip

    def read(self, split: str) -> BoxedImages:
        """Paths with their boxes, in the order of the file."""
        tree, file = self._trees[split], self._files[split]
        by_picture: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for entry in tree["annotations"]:
            by_picture[entry.get("image_id")].append(entry)
        known = {image.get("id") for image in tree["images"]}
        for image_id in by_picture:
            if image_id not in known:
                raise bad_label(
                    f"File {file.name!r}", f"a box of picture {image_id!r}", "a picture in images"
                )
        paths = [self._picture(image, split) for image in tree["images"]]
        targets = [
            self._targets(path, image, by_picture[image["id"]], file)
            for path, image in zip(paths, tree["images"], strict=True)
        ]
        return BoxedImages(paths, targets, self._labels)

    def _picture(self, image: Mapping[str, Any], split: str) -> Path:
        file = self._files[split]
        part = file.stem.removeprefix("instances_")
        images = self._root / "images"
        places = (file.parent, file.parent / "images", self._root / part, images / part,
                  self._root / split, images / split, images, self._root)  # fmt: skip
        name = str(image.get("file_name", ""))
        for place in places:
            if name and (place / name).is_file():
                return place / name
        raise DataError(f"File {file.name!r}", got=f"picture {name!r}, which is not there",
                        expected=f"it in {part}/, images/ or beside the file",
                        fix="Put the pictures there.")  # fmt: skip

    def _targets(
        self, path: Path, image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], file: Path
    ) -> BoxTargets:
        size_wh = upright_size(path)
        if (image.get("width", size_wh[0]), image.get("height", size_wh[1])) != size_wh:
            raise bad_label(
                f"Picture {path.name!r} in {file.name!r}",
                f"{image.get('width')}×{image.get('height')} px",
                f"its upright size of {size_wh[0]}×{size_wh[1]}",
            )
        if not entries:
            return no_boxes()

        def where(at: int) -> str:
            return f"Annotation {entries[at].get('id')} in {file.name!r}"

        boxes = np.asarray([_xywh(entry, where(at)) for at, entry in enumerate(entries)], np.float64)
        boxes[:, 2:] += boxes[:, :2]
        unknown = len(self._classes)
        classes = [self._classes.get(entry.get("category_id"), ("", unknown))[1] for entry in entries]
        for at, label in enumerate(classes):
            if label == unknown:
                raise bad_label(
                    where(at), f"category {entries[at].get('category_id')!r}", "one in categories"
                )
        crowd = np.asarray([bool(entry.get("iscrowd", 0)) for entry in entries])
        return checked_targets(
            boxes, np.asarray(classes), crowd, size_wh=size_wh, classes_known=unknown, where=where
        )


def _xywh(entry: Mapping[str, Any], where: str) -> list[float]:
    box = entry.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
    if not numbers or not np.isfinite(box).all():
        raise bad_label(where, f"bbox {box!r}", "left, top, width and height in pixels")
    return list(map(float, box))


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = json.loads(file.read_text("utf-8"))
        for key in ("images", "annotations", "categories"):
            if not isinstance(tree[key], list) or not all(isinstance(entry, dict) for entry in tree[key]):
                raise ValueError(f"{key} is no list of objects")
        if not tree["images"] or any("id" not in image for image in tree["images"]):
            raise ValueError("images is empty, or one has no id")
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = f"no {error}" if isinstance(error, KeyError) else first_line(error)
        raise DataError(f"File {file.name!r}", got=got,
                        expected="COCO's JSON with images, annotations and categories",
                        fix="Correct the file.") from error  # fmt: skip
    return dict(tree)


def _classes(tree: Mapping[str, Any], file: Path) -> dict[int, tuple[str, int]]:
    """Name and class index by category id."""
    try:
        named = {int(entry["id"]): str(entry["name"]) for entry in tree["categories"]}
    except (KeyError, ValueError, TypeError) as error:
        raise bad_label(f"File {file.name!r}", "a category without id or name", "both") from error
    return {number: (named[number], at) for at, number in enumerate(sorted(named))}
