"""Real pictures at the size of those that are generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtimes import Array, UsageError
from sdk.inputs.image import IMAGE, ImageInput
from train.data.labelled_items import ImageSource

FOLDER_SIDE_PX = 64


class RealPictures(Sequence[Array]):
    """Real pictures at the generator's size, loaded when they are asked for.

    Attributes:
        items: As they are in the data.

    Args:
        items: What `image_input` loads.
        image_input: Brings them to size.
    """

    def __init__(self, items: Sequence[Any], image_input: ImageInput) -> None:
        self.items = items
        self._input = image_input

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: Any) -> Any:
        """A picture uint8 (H, W, C); of a slice, as many as it names."""
        if isinstance(row, slice):
            return RealPictures(self.items[row], self._input)
        return self._input.load(self.items[row]).arrays[IMAGE]


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
