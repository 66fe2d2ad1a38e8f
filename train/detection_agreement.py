"""Whether two detectors give the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdk.outputs.nms import iou_matrix

if TYPE_CHECKING:
    from sdk.results import Detections

SAME_IOU = 0.9
"""Boxes that overlap so far are the same box."""


def mean_agreement(results: Sequence[Detections], others: Sequence[Detections]) -> float:
    """Mean over pictures of the share of both answers that is in the other as well, 0..1.

    A box counts by its score: whether a box of score 0.01 is there is of no weight, and no threshold decides.
    """
    return float(np.mean([_agreement(one, other) for one, other in zip(results, others, strict=True)]))


def _agreement(one: Detections, other: Detections) -> float:
    """Scores of the boxes that have a partner of the same class, over all scores; 1 for two empty answers."""
    total = float(one.scores.sum() + other.scores.sum())
    if total == 0:
        return 1.0
    same = iou_matrix(one.boxes_xyxy, other.boxes_xyxy) * (one.class_ids[:, None] == other.class_ids[None, :])
    free = np.ones(len(other), bool)
    matched = 0.0
    # Both are sorted, best first: the surest box chooses first.
    for row in range(len(one)):
        overlaps = np.where(free, same[row], 0.0)
        partner = int(overlaps.argmax()) if len(overlaps) else 0
        if len(overlaps) and overlaps[partner] >= SAME_IOU:
            free[partner] = False
            matched += float(one.scores[row] + other.scores[partner])
    return matched / total
