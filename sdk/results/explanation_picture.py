"""The picture of an explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtimes import Array
from sdk.results.classification_picture import enlarged

if TYPE_CHECKING:
    from sdk.results.explanation import Explanation

_MARGIN_PX, _CAPTION_PX, _SCALE_PX = 16, 34, 12
_INK, _PAPER = (28, 32, 38), (255, 255, 255)
_OPACITY = 0.65
"""Of the heatmap where it is 1; it fades to nothing where it is 0, so that the picture stays readable."""
# From dark violet over red to yellow: rises in brightness, and is told apart by the colour-blind.
_STOPS = np.array([(45, 10, 90), (150, 30, 110), (225, 80, 60), (250, 165, 30), (250, 235, 120)], np.float64)


def draw_explanation(result: Explanation) -> Image.Image:
    """The picture beside itself under the heatmap, with a caption and the colours' scale; a new RGB image."""
    plain = enlarged(result.source)
    under = _overlay(plain, result.heatmap)
    width = 2 * plain.width + 3 * _MARGIN_PX + _SCALE_PX + _MARGIN_PX
    canvas = Image.new("RGB", (width, plain.height + 2 * _MARGIN_PX + _CAPTION_PX), _PAPER)
    canvas.paste(plain, (_MARGIN_PX, _MARGIN_PX))
    canvas.paste(under, (plain.width + 2 * _MARGIN_PX, _MARGIN_PX))
    ramp = _colours(np.linspace(1.0, 0.0, plain.height)[:, None].repeat(_SCALE_PX, axis=1))
    canvas.paste(Image.fromarray(ramp), (2 * plain.width + 3 * _MARGIN_PX, _MARGIN_PX))
    caption = f"{result.label} {result.score:.1%} · {result.method}"
    if result.answer != result.label:
        caption += f" · answer: {result.answer}"
    at = (_MARGIN_PX, plain.height + 2 * _MARGIN_PX)
    ImageDraw.Draw(canvas).text(at, caption, fill=_INK, font=ImageFont.load_default(15))
    return canvas


def _overlay(picture: Image.Image, heatmap: Array) -> Image.Image:
    heat = np.asarray(Image.fromarray(heatmap).resize(picture.size, Image.Resampling.BILINEAR))
    heat = heat.clip(0.0, 1.0)[:, :, None]
    opacity = _OPACITY * np.sqrt(heat)
    mixed = (1 - opacity) * np.asarray(picture, np.float64) + opacity * _colours(heat[:, :, 0])
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _colours(shares: Array) -> Array:
    """Shares (H, W) as RGB uint8 (H, W, 3)."""
    at = np.asarray(shares, np.float64) * (len(_STOPS) - 1)
    levels = [np.interp(at, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(levels, axis=-1)).astype(np.uint8)
