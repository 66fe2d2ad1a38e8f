"""From what a grid detector gives to boxes and scores; the graph does the same where it is baked in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtimes import Array

LARGEST_LOG_SCALE = 8.0
"""A box is at most exp(8), 2981 times, as large as its anchor: numbers of a broken network stay finite."""


def decode_grid(raw: Array, anchors_wh: Sequence[tuple[float, float]], stride: int) -> tuple[Array, Array]:
    """One YOLOv3 map as boxes and class scores.

    In cell (i, j) and with anchor (pw, ph) in pixels, the map's tx, ty, tw, th, to and class values say
    ``x = (j + sigmoid(tx)) / columns``, ``w = pw * exp(tw) / (stride * columns)``, likewise y and h, and
    ``score = sigmoid(to) * sigmoid(class)`` (Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018,
    section 2.1).

    Args:
        raw: float32 (N, anchors * (5 + K), rows, columns), each anchor's values together, in the order above.
        anchors_wh: Width and height of each anchor, in pixels of the network's input.
        stride: Pixels of the network's input per cell.

    Returns:
        Boxes float32 (N, M, 4), x1 y1 x2 y2 as shares of the network's input, not clamped, and scores float32
        (N, M, K), where M = anchors * rows * columns counts anchors first, then rows, then columns.
    """
    count, channels, rows, columns = raw.shape
    values = channels // len(anchors_wh)
    cells = raw.reshape(count, len(anchors_wh), values, rows * columns)
    extent = np.array([columns, rows], np.float32)
    y, x = np.divmod(np.arange(rows * columns), columns)
    corner = np.stack([x, y]).astype(np.float32)
    centre = (sigmoid(cells[:, :, 0:2]) + corner) / extent[:, None]
    half = np.asarray(anchors_wh, np.float32) / (np.float32(2 * stride) * extent)
    half = np.exp(np.minimum(cells[:, :, 2:4], np.float32(LARGEST_LOG_SCALE))) * half[None, :, :, None]
    boxes = np.concatenate([centre - half, centre + half], axis=2)
    scores = sigmoid(cells[:, :, 4:5]) * sigmoid(cells[:, :, 5:])
    return _candidates_last(boxes), _candidates_last(scores)


def _candidates_last(cells: Array) -> Array:
    """(N, anchors, values, cells) to (N, anchors * cells, values)."""
    count, anchors, values, places = cells.shape
    return cells.transpose(0, 1, 3, 2).reshape(count, anchors * places, values)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), 0 for very negative numbers."""
    with np.errstate(over="ignore"):  # exp of a large number is inf, and 1 / inf is 0: what is meant
        return 1 / (1 + np.exp(-x))


def corners(boxes_cxcywh: Array) -> Array:
    """Centre and size to corners: (..., 4)."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)
