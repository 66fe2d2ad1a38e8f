"""The picture of a segmentation network's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtimes import Array

if TYPE_CHECKING:
    from sdk.results.segmentation import ClassShare, Segmentation

_SMALLEST_PX = 480
"""Smaller pictures are enlarged to it, so that mask and legend can be seen."""
_PANEL_PX, _ROW_PX, _MARGIN_PX, _SWATCH_PX = 250, 28, 16, 16
_INK, _PAPER = (28, 32, 38), (255, 255, 255)
_OPACITY = 0.5
_UNSEEN_COLOUR = (128, 128, 128)
# Okabe & Ito 2008, told apart by the colour-blind too; the first class, mostly the background, is dark.
_COLOURS = (
    (40, 44, 52),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def palette(classes: int) -> list[int]:
    """RGB of 256 palette entries in a row: class colours first, grey for pixels without a class last."""
    colours = [_colour(index) for index in range(classes)]
    colours += [_UNSEEN_COLOUR] * (256 - classes)
    return [level for colour in colours for level in colour]


def draw_segmentation(result: Segmentation) -> Image.Image:
    """The picture under its coloured mask, beside a legend of the classes that occur; a new RGB image."""
    picture = _overlay(result)
    height = max(picture.height, _ROW_PX * len(result.shares)) + 2 * _MARGIN_PX
    canvas = Image.new("RGB", (picture.width + _PANEL_PX + 3 * _MARGIN_PX, height), _PAPER)
    canvas.paste(picture, (_MARGIN_PX, _MARGIN_PX))
    draw = ImageDraw.Draw(canvas)
    for row, entry in enumerate(result.shares):
        at = (picture.width + 2 * _MARGIN_PX, _MARGIN_PX + row * _ROW_PX)
        _draw_entry(draw, at, entry)
    return canvas


def overlay(picture: Array, mask: Array, classes: int) -> Array:
    """A picture under its coloured mask, with every region's border drawn in full colour.

    Args:
        picture: uint8 (H, W, 3) RGB.
        mask: Class indices, uint8 (H, W).
        classes: How many there are; class 0 is left as it is, so that the picture stays visible.

    Returns:
        uint8 (H, W, 3).
    """
    colours = np.array(palette(classes), np.float32).reshape(256, 3)[mask]
    opacity = np.where(mask == 0, 0.0, _OPACITY).astype(np.float32)
    opacity[_borders(mask)] = 1.0
    mixed = picture + (colours - picture) * opacity[:, :, None]
    overlaid: Array = mixed.round().astype(np.uint8)
    return overlaid


def _overlay(result: Segmentation) -> Image.Image:
    width, height = result.size_wh
    ratio = max(1.0, _SMALLEST_PX / max(width, height))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    # A JPEG decoded at a reduced scale is smaller than its mask.
    picture = result.source.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    mask = Image.fromarray(result.mask).resize(size, Image.Resampling.NEAREST)
    return Image.fromarray(overlay(np.asarray(picture), np.asarray(mask), len(result.labels)))


def _borders(mask: Array) -> Array:
    """Pixels of a class other than 0 whose left, right, upper or lower neighbour is of another class."""
    border = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        near, far = [slice(None)] * 2, [slice(None)] * 2
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        differs = mask[tuple(near)] != mask[tuple(far)]
        border[tuple(near)] |= differs
        border[tuple(far)] |= differs
    border &= mask != 0
    return border


def _colour(index: int) -> tuple[int, int, int]:
    if index < len(_COLOURS):
        return _COLOURS[index]
    # Beyond the named ones: hues a golden angle apart, which never come back to an earlier one.
    hue = int(index * 0.381966 * 256) % 256
    red, green, blue = Image.new("HSV", (1, 1), (hue, 160 + 40 * (index % 3), 220)).convert("RGB").tobytes()
    return red, green, blue


def _draw_entry(draw: ImageDraw.ImageDraw, at: tuple[int, int], entry: ClassShare) -> None:
    left, top = at
    font = ImageFont.load_default(15)
    draw.rectangle((left, top, left + _SWATCH_PX, top + _SWATCH_PX), fill=_colour(entry.index))
    draw.text((left + _SWATCH_PX + 8, top), entry.label, fill=_INK, font=font)
    draw.text((left + _PANEL_PX, top), f"{entry.share:.1%}", fill=_INK, font=font, anchor="ra")
