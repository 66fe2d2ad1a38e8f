"""The picture of an embedding."""

from __future__ import annotations

from PIL import Image, ImageDraw

from runtimes import Array
from sdk.results.classification_picture import enlarged

_PANEL_PX = 320
_MARGIN_PX = 16
_PAPER, _AXIS, _ABOVE, _BELOW = (255, 255, 255), (148, 163, 184), (37, 99, 235), (217, 119, 6)


def draw_embedding(source: Image.Image, vector: Array) -> Image.Image:
    """A picture beside its vector: a bar per number, up for positive and down for negative ones.

    Args:
        source: The picture.
        vector: float32 (dimensions,).
    """
    picture = enlarged(source)
    height = max(picture.height, _PANEL_PX // 2)
    canvas = Image.new("RGB", (picture.width + _PANEL_PX + 3 * _MARGIN_PX, height + 2 * _MARGIN_PX), _PAPER)
    canvas.paste(picture, (_MARGIN_PX, _MARGIN_PX))
    draw = ImageDraw.Draw(canvas)
    left, middle = picture.width + 2 * _MARGIN_PX, _MARGIN_PX + height // 2
    step, largest = _PANEL_PX / len(vector), max(float(abs(vector).max()), 1e-6)
    for at, value in enumerate(vector.tolist()):
        tip = middle - round(value / largest * (height // 2))
        sides = (round(left + at * step), max(round(left + at * step), round(left + (at + 0.8) * step) - 1))
        ends = (min(middle, tip), max(middle, tip))
        draw.rectangle((sides[0], ends[0], sides[1], ends[1]), fill=_ABOVE if value > 0 else _BELOW)
    draw.line((left, middle, left + _PANEL_PX, middle), fill=_AXIS)
    return canvas
