"""Several pictures of one size as one picture."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

GAP_PX = 2
_PAPER = 255


def grid_png(pictures: Sequence[Image.Image], columns: int | None = None) -> bytes:
    """Pictures in rows, on white, as the bytes of a PNG.

    Args:
        pictures: At least one; all of one size and mode, ``L`` or ``RGB``.
        columns: In a row; None makes the grid about square.
    """
    return png_bytes(grid(pictures, columns))


def grid(pictures: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """As `grid_png`, as a new picture of the same mode."""
    first = pictures[0]
    across = min(len(pictures), columns or math.ceil(math.sqrt(len(pictures))))
    down = math.ceil(len(pictures) / across)
    step_x, step_y = first.width + GAP_PX, first.height + GAP_PX
    paper = _PAPER if first.mode == "L" else (_PAPER,) * len(first.mode)
    canvas = Image.new(first.mode, (across * step_x - GAP_PX, down * step_y - GAP_PX), paper)
    for at, picture in enumerate(pictures):
        canvas.paste(picture, (at % across * step_x, at // across * step_y))
    return canvas


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
