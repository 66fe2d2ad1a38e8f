"""Class-wise non-maximum suppression in numpy: of boxes that overlap and say the same, the best stays."""

from __future__ import annotations

import numpy as np

from runtimes import Array

_BLOCK = 128
"""Boxes judged at a time: large enough to fill vector units, small enough that the matrix stays in cache."""


def suppress(boxes_xyxy: Array, scores: Array, class_ids: Array, iou_threshold: float, at_most: int) -> Array:
    """Which boxes stay: greedy, best first; a box goes when one that stays has its class and covers it.

    Args:
        boxes_xyxy: float32 (n, 4); corners, x to the right and y down, in any unit that all share.
        scores: float32 (n,), finite.
        class_ids: Integers (n,).
        iou_threshold: Intersection over union above which the worse box goes; equal to it, it stays.
        at_most: How many stay at most.

    Returns:
        Indices, int64 (k,), best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            covered = _covers(boxes_xyxy, class_ids, kept, block, iou_threshold).any(axis=0)
            block = block[~covered]
        kept = np.concatenate([kept, _greedy(boxes_xyxy, class_ids, block, iou_threshold)])
        if len(kept) >= at_most:
            break
    return kept[:at_most]


def _greedy(boxes_xyxy: Array, class_ids: Array, block: Array, iou_threshold: float) -> Array:
    """Of a few boxes, best first, those that stay."""
    covers = np.triu(_covers(boxes_xyxy, class_ids, block, block, iou_threshold), 1)
    alive = np.ones(len(block), bool)
    for row in np.flatnonzero(covers.any(axis=1)):
        if alive[row]:
            alive &= ~covers[row]
    return block[alive]


def _covers(boxes_xyxy: Array, class_ids: Array, a: Array, b: Array, iou_threshold: float) -> Array:
    """Bool (len(a), len(b)): same class, and intersection over union above the threshold."""
    one, other = boxes_xyxy[a][:, None], boxes_xyxy[b][None]
    same = class_ids[a][:, None] == class_ids[b][None]
    covers: Array = same & (_iou(one, other) > iou_threshold)
    return covers


def _iou(one: Array, other: Array) -> Array:
    width = np.minimum(one[..., 2], other[..., 2]) - np.maximum(one[..., 0], other[..., 0])
    height = np.minimum(one[..., 3], other[..., 3]) - np.maximum(one[..., 1], other[..., 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = _area(one) + _area(other) - common
    iou: Array = common / np.maximum(union, np.finfo(np.float32).tiny)
    return iou


def _area(boxes: Array) -> Array:
    area: Array = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return area


def iou_matrix(boxes_xyxy: Array, others_xyxy: Array) -> Array:
    """Intersection over union of every box with every other: (n, m), 0..1; boxes without area give 0.

    Args:
        boxes_xyxy: Floats (n, 4).
        others_xyxy: Floats (m, 4), in the same unit.
    """
    return _iou(boxes_xyxy[:, None], others_xyxy[None])
