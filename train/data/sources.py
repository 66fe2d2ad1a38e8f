"""Which reader a path of labelled pictures needs."""

from __future__ import annotations

from pathlib import Path

from runtimes import DataError
from train.data.idx import IdxFolder, find_idx_folder
from train.data.image_folder import ImageFolder
from train.data.labelled_images import ImageSource, LabelledImages, stratified_hold_out

HELD_OUT_SHARE = 0.1
HELD_OUT_SEED = 20170825
"""Fixed, whatever the run's seed: `export` must find the same validation split again."""


def open_images(data: Path, *, same_classes: bool = True) -> ImageSource:
    """Open idx files, or a folder per class.

    Args:
        data: The folder.
        same_classes: Refuse parts with other classes than ``train``.

    Raises:
        DataError: It is neither, or cannot be used.
    """
    if not data.is_dir():
        raise DataError(
            f"Data {data.name!r}",
            got="a file" if data.exists() else "no such folder",
            expected="a folder of idx files, or of a folder per class",
            fix="Check the path of --data.",
        )
    folder = find_idx_folder(data)
    return IdxFolder(folder) if folder is not None else ImageFolder(data, same_classes=same_classes)


def read_images(source: ImageSource, data: Path, split: str, least: int) -> LabelledImages:
    """One part of the pictures; where there is no ``val``, part of ``train`` is held out for it.

    Args:
        source: What `open_images` gave.
        data: Where it lies, for messages.
        split: ``train``, ``val`` or ``test``.
        least: Pictures of each class that are held out, at least.

    Raises:
        DataError: There is no such part, or a class has a single picture.
    """
    if split == "test" or (split in source.splits and not (split == "train" and "val" not in source.splits)):
        if split not in source.splits:
            raise DataError(f"Data {data.name!r}", got="no test part", expected=f"one of {source.splits}",
                            fix="Add one, or use its val part.")  # fmt: skip
        return source.read(split)
    images = source.read("train")
    kept, held = stratified_hold_out(images.targets, HELD_OUT_SHARE, HELD_OUT_SEED, least)
    return images.take(held if split == "val" else kept)
