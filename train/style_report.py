"""The picture of a style run."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from runtimes import Array

_GAP_PX = 8


def pairs_png(photos: Sequence[Array], painted: Sequence[Array]) -> bytes:
    """Pictures uint8 (H, W, 3) of one size, two rows of them, as a PNG."""
    height, width, _ = photos[0].shape
    columns = len(photos)
    size = (2 * height + _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3)
    canvas = np.full(size, 255, np.uint8)
    for row, pictures in enumerate((photos, painted)):
        for column, picture in enumerate(pictures):
            top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
            canvas[top : top + height, left : left + width] = picture
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()
