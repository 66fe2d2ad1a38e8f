"""Pictures in rows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sdk.results.picture_grid import GAP_PX, grid, grid_png


def _pictures(count: int, mode: str) -> list[Image.Image]:
    return [Image.new(mode, (6, 4), at if mode == "L" else (at, 0, 0)) for at in range(count)]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grid_places_pictures_row_by_row(mode: str) -> None:
    made = grid(_pictures(5, mode))
    assert made.mode == mode
    assert made.size == (3 * 6 + 2 * GAP_PX, 2 * 4 + GAP_PX)
    pixels = np.asarray(made.convert("RGB"))[..., 0]
    for at in range(5):
        top, left = at // 3 * (4 + GAP_PX), at % 3 * (6 + GAP_PX)
        assert (pixels[top : top + 4, left : left + 6] == at).all()
    assert (pixels[4 + GAP_PX :, 2 * (6 + GAP_PX) :] == 255).all()


def test_grid_png_is_that_picture() -> None:
    pictures = _pictures(4, "L")
    with Image.open(io.BytesIO(grid_png(pictures, columns=4))) as read:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(grid(pictures, columns=4)))
        assert read.height == 4
