"""A frame with its result drawn on it, at the frame's own size."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_INK, _BAND = (255, 255, 255), (20, 24, 30)
_SMALLEST_FONT_PX, _FRAME_TO_FONT = 10, 28


def draw_on_frame(result: Any) -> Image.Image:
    """The painted picture, boxes, a coloured mask, or the result's summary on a band at the lower edge.

    Args:
        result: What `Predictor.predict` gave for a picture.

    Returns:
        A new RGB image of the picture's size. Unlike `plot()`, which chooses a size that a person reads well,
        all frames of a film must have one.
    """
    from sdk.results import Detections, GeneratedImage, Segmentation

    if isinstance(result, Detections):
        from sdk.results.detections_picture import draw_detections

        return draw_detections(result.source, result, resize=False)
    if isinstance(result, GeneratedImage):
        return result.image.convert("RGB")
    if isinstance(result, Segmentation):
        from sdk.results.segmentation_picture import overlay

        picture = np.asarray(result.source.convert("RGB"))
        return _captioned(
            Image.fromarray(overlay(picture, result.mask, len(result.labels))), result.summary()
        )
    return _captioned(result.source.convert("RGB"), result.summary())


def _captioned(picture: Image.Image, words: str) -> Image.Image:
    canvas = picture.copy()
    font = ImageFont.load_default(max(_SMALLEST_FONT_PX, canvas.height // _FRAME_TO_FONT))
    left, top, _, bottom = font.getbbox(words)
    high = round(bottom - top)
    band = (0, canvas.height - high - 8, canvas.width, canvas.height)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle(band, fill=_BAND)
    draw.text((6 - left, band[1] + 4 - top), words, fill=_INK, font=font)
    return canvas
