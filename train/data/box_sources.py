"""Which reader a path of pictures with boxes needs, and how a set without a val part is divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from runtimes import DataError
from train.data.boxes import SPLITS, BoxedImages, BoxSource, pictures_in, upright_size
from train.data.coco_json import CocoJson, find_coco_parts
from train.data.pascal_voc import PascalVoc, find_voc_root
from train.data.yolo_text import YoloText, find_yolo_parts

HELD_OUT_SHARE = 0.1
HELD_OUT_SEED = 20180408
"""Fixed, whatever the run's seed: `export` must find the same validation split again."""

_LAYOUTS = (
    "train/{images,labels}, images/ and labels/, COCO's annotations/*.json, Pascal VOC's Annotations/ and "
    "JPEGImages/, or pictures alone"
)


class PlainPictures:
    """A folder of pictures of which nothing is known: enough to compare two artifacts, not to train.

    Args:
        root: The folder.
    """

    splits: tuple[str, ...] = SPLITS
    names_classes = False

    def __init__(self, root: Path) -> None:
        self._pictures = pictures_in(root)

    def read(self, split: str) -> BoxedImages:
        """All pictures, whatever the split."""
        del split
        for path in self._pictures:
            upright_size(path)
        return BoxedImages(self._pictures, (), ())


def open_boxes(data: Path) -> BoxSource:
    """Open a set of pictures with boxes in any of the layouts that are known.

    Raises:
        DataError: It is none of them, or cannot be used.
    """
    if not data.is_dir():
        raise DataError(f"Data {data.name!r}", got="a file" if data.exists() else "no such folder",
                        expected=f"a folder: {_LAYOUTS}", fix="Check the path of --data.")  # fmt: skip
    voc = find_voc_root(data)
    if voc is not None:
        return PascalVoc(voc)
    coco = find_coco_parts(data)
    if coco:
        return CocoJson(data, coco)
    yolo = find_yolo_parts(data)
    if yolo:
        return YoloText(data, yolo)
    if pictures_in(data):
        return PlainPictures(data)
    raise DataError(f"Data {data.name!r}", got="a folder in no known layout", expected=_LAYOUTS,
                    fix="Arrange it in one of them.")  # fmt: skip


def read_part(source: BoxSource, data: Path, split: str) -> BoxedImages:
    """One part of a set; where it has no ``val``, a fixed tenth of ``train`` is held out for it.

    Raises:
        DataError: The set has no such part, or too few pictures to divide.
    """
    if split in source.splits and not (split == "train" and "val" not in source.splits):
        return source.read(split)
    if split == "test" or "train" not in source.splits:
        raise DataError(f"Data {data.name!r}", got=f"no {split} part",
                        expected=f"one of {', '.join(source.splits)}",
                        fix="Add one, or use another part.")  # fmt: skip
    images = source.read("train")
    count = len(images.items)
    if count < 2:
        raise DataError(f"Data {data.name!r}", got="a single picture",
                        expected="at least two, one to train and one to validate on",
                        fix="Add pictures.")  # fmt: skip
    order = np.random.default_rng(HELD_OUT_SEED).permutation(count)
    held = max(1, round(HELD_OUT_SHARE * count))
    return images.take(np.sort(order[:held] if split == "val" else order[held:]))
