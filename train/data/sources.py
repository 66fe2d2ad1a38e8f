"""Which reader a path of labelled pictures needs."""

from __future__ import annotations

from pathlib import Path

from runtimes import DataError
from train.data.idx import IdxFolder, find_idx_folder
from train.data.image_folder import ImageFolder
from train.data.labelled_items import ImageSource


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
