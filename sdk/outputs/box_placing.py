"""From boxes as shares of a network's input to pixels of the original picture."""

from __future__ import annotations

import numpy as np

from runtimes import Array
from sdk.inputs.image import IMAGE
from sdk.kinds import Sample


def place_boxes(boxes: Array, sample: Sample) -> tuple[Array, Array]:
    """Boxes in pixels of the original picture, clipped to it.

    Args:
        boxes: float32 (n, 4), x1 y1 x2 y2 as shares of the network's input.
        sample: Its geometry says how the picture was resized: ``x' = x * scale_x + offset_x``.

    Returns:
        float32 (n, 4), and bool (n,): which of them have any area inside the picture.
    """
    height, width = sample.arrays[IMAGE].shape[:2]
    geometry = sample.geometry
    offset = np.array([geometry["offset_x"], geometry["offset_y"]] * 2)
    scale = np.array([geometry["scale_x"], geometry["scale_y"]] * 2)
    limit = np.array([geometry["width"], geometry["height"]] * 2)
    placed = (boxes * np.array([width, height] * 2) - offset) / scale
    placed = np.clip(placed, 0, limit).astype(np.float32)
    return placed, (placed[:, 2:] > placed[:, :2]).all(axis=1)


def share_boxes(boxes_xyxy: Array, sample: Sample) -> Array:
    """The other way round: pixels of the original picture to shares of the network's input, (n, 4)."""
    height, width = sample.arrays[IMAGE].shape[:2]
    geometry = sample.geometry
    offset = np.array([geometry["offset_x"], geometry["offset_y"]] * 2)
    scale = np.array([geometry["scale_x"], geometry["scale_y"]] * 2)
    shares: Array = ((boxes_xyxy * scale + offset) / np.array([width, height] * 2)).astype(np.float32)
    return shares
