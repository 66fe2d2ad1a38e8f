"""Where a map over the network's input lies on the original picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from runtimes import Array


class Placing(NamedTuple):
    """The part of a map that shows the picture, and the part of the picture that it shows.

    Attributes:
        box: Left, top, right, bottom in pixels of the map; fractions are meant.
        seen: Left, top, right, bottom in whole pixels of the original picture.
    """

    box: tuple[float, float, float, float]
    seen: tuple[int, int, int, int]


def placing_of(geometry: Mapping[str, float], input_wh: tuple[int, int], map_wh: tuple[int, int]) -> Placing:
    """Undo a sample's resize, padding or crop.

    Args:
        geometry: Of the sample: a point of the original is at ``x * scale_x + offset_x`` in the input.
        input_wh: Size of the network's input.
        map_wh: Size of the map, which may be coarser.
    """
    spans = [
        _span(geometry[extent], geometry[f"scale_{axis}"], geometry[f"offset_{axis}"], inside, cells)
        for axis, extent, inside, cells in zip("xy", ("width", "height"), input_wh, map_wh, strict=True)
    ]
    (left, right, start_x, end_x), (top, bottom, start_y, end_y) = spans
    return Placing((left, top, right, bottom), (start_x, start_y, end_x, end_y))


def shown(values: Array, placing: Placing) -> Array:
    """The cells of maps (…, h, w) that show the picture, also those that show it in part."""
    left, top, right, bottom = placing.box
    return values[..., math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]


def resized(values: Array, placing: Placing) -> Array:
    """The map's part that shows the picture, bilinearly at the picture's size.

    Args:
        values: float32 (h, w).
        placing: Where it lies.

    Returns:
        float32 of the height and width of ``placing.seen``.
    """
    left, top, right, bottom = placing.box
    x, y = math.floor(left), math.floor(top)
    # Cut first: Pillow's `box` says where to sample, and its filter still looks beyond it, at the padding.
    cut = np.ascontiguousarray(shown(values, placing), np.float32)
    box = (left - x, top - y, right - x, bottom - y)
    start_x, start_y, end_x, end_y = placing.seen
    size = (end_x - start_x, end_y - start_y)
    return np.array(Image.fromarray(cut).resize(size, Image.Resampling.BILINEAR, box))


def _span(
    extent: float, scale: float, offset: float, inside: int, cells: int
) -> tuple[float, float, int, int]:
    """Along one axis: from and to in the map, from and to in the picture."""
    start = max(0, round(-offset / scale))
    end = min(int(extent), round((inside - offset) / scale))
    cell = cells / inside
    first = min(max(start * scale + offset, 0.0), float(inside))
    last = min(max(end * scale + offset, 0.0), float(inside))
    return first * cell, min(last * cell, float(cells)), start, end
