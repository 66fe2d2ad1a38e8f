"""Real pictures at the size of those that are generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array, InputError, UsageError
from sdk.inputs.image import IMAGE, ImageInput
from train.data.idx import find_idx_folder
from train.data.image_folder import unreadable
from train.data.labelled_items import ImageSource, LabelledItems
from train.data.photos import PhotoFolder, open_photos
from train.data.sources import open_images

FOLDER_SIDE_PX = 64


def open_pictures(data: Path) -> ImageSource:
    """Idx files; a folder per class; or any other folder of pictures, at any depth.

    Raises:
        DataError: It is none of them, or cannot be used.
    """
    part = data / "train" if (data / "train").is_dir() else data
    inside = [p for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")] if part.is_dir() else []
    if len(inside) >= 2 or find_idx_folder(data) is not None:
        return open_images(data, same_classes=False)
    return PlainPictures(open_photos(data))


class PlainPictures:
    """Pictures of which nothing is known, as one class; see `ImageSource`.

    Args:
        folder: Where they are.
    """

    channels = "rgb"
    size_wh: tuple[int, int] | None = None
    names_classes = False

    def __init__(self, folder: PhotoFolder) -> None:
        self._folder = folder
        self.splits = tuple(folder.parts)

    def read(self, split: str) -> LabelledItems:
        """Paths in a fixed order, all of the class ``pictures``."""
        paths = self._folder.parts[split]

        def fingerprint(at: int) -> bytes:
            return self._folder.sha256(paths[at : at + 1]).encode()

        return LabelledItems(paths, np.zeros(len(paths), np.int64), ("pictures",), fingerprint)


class RealPictures(Sequence[Array]):
    """Real pictures at the generator's size, loaded when they are asked for.

    Args:
        items: As they are in the data: what `image_input` loads.
        image_input: Brings them to size.
    """

    def __init__(self, items: Sequence[Any], image_input: ImageInput) -> None:
        self._items = items
        self._input = image_input

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, row: Any) -> Any:
        """A picture, uint8 (H, W) grey or (H, W, 3) RGB; of a slice, as many as it names.

        Raises:
            DataError: A file cannot be read.
            InputError: An item that is no file cannot be used.
        """
        if isinstance(row, slice):
            return RealPictures(self._items[row], self._input)
        item = self._items[row]
        try:
            picture: Array = self._input.load(item).arrays[IMAGE]
        except InputError as error:
            raise unreadable(Path(item), error) if isinstance(item, (str, Path)) else error from error
        return without_channel(picture)


def without_channel(picture: Array) -> Array:
    """A picture (H, W, C) as decoders take it: without an axis for channels where there is one channel."""
    return picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture


def picture_input(source: ImageSource, side_px: int | None = None, resize: str | None = None) -> ImageInput:
    """How real pictures are brought to the generator's size.

    Args:
        source: Whose pictures they are.
        side_px: Of the generator's pictures; None is the data's, or `FOLDER_SIDE_PX` where they differ.
        resize: ``letterbox``, ``shortest`` or ``stretch``; None chooses by the data.

    Raises:
        UsageError: No generator has that size.
    """
    from train.networks.dcgan import LARGEST_PX, doublings, next_side

    side = side_px or next_side(max(source.size_wh) if source.size_wh is not None else FOLDER_SIDE_PX)
    if doublings(side) is None or side > LARGEST_PX:
        raise UsageError("Option --image-size", got=str(side),
                         expected=f"4, 5, 6 or 7 doubled a few times, at most {LARGEST_PX}",
                         fix=f"Say {min(LARGEST_PX, next_side(side))}.")  # fmt: skip
    resize = resize or ("letterbox" if source.size_wh is not None else "shortest")
    grey = source.channels == "grey"
    count = 1 if grey else 3
    # Idx sets show things on black, shops show them on white.
    pad = (0, 0, 0) if grey else (255, 255, 255)
    return ImageInput(
        channels=source.channels,
        size_wh=(side, side),
        resize=resize,
        shortest_px=side if resize == "shortest" else None,
        filter="bilinear",
        pad_colour=pad,
        alpha_colour=pad,
        scale=1 / 255,
        mean=(0.0,) * count,
        std=(1.0,) * count,
        jpeg_scaling="full",
        views=("identity",),
    )
