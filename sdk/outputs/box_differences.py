"""How far one detector's numbers are from another's, counting what can matter to an answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtimes import Array
from sdk.outputs.nms import iou_matrix

_LIKE = 0.5
"""Intersection over union from which two boxes of a class stand for the same thing."""
_WHOLE_NDIM = 3


def candidate_difference(
    outputs: Mapping[str, Array], expected: Mapping[str, Array], score_floor: float
) -> float:
    """Largest absolute difference of any score, and of what boxes that are ever read cover of the picture.

    What a box reaches beyond the input is cut off, as in results: sizes are exponentials, and far out a tiny
    error is a large number. Where a score is below `score_floor` on both sides, a box is whatever the network
    happens to give, and is not compared.

    Args:
        outputs: ``boxes`` (N, M, 4) as shares of the input and ``scores`` (N, M, K); or, where golden samples
            keep only some of either, those (N, …): then all boxes are compared.
        expected: The same.
        score_floor: Lowest score that is read.

    Returns:
        Infinity where a number that is compared is missing.
    """
    scores, wanted = outputs["scores"].astype(np.float64), expected["scores"]
    boxes = np.clip(outputs["boxes"], 0.0, 1.0).astype(np.float64) - np.clip(expected["boxes"], 0.0, 1.0)
    if scores.ndim == boxes.ndim == _WHOLE_NDIM:
        boxes = boxes[np.maximum(scores.max(axis=-1), wanted.max(axis=-1)) >= score_floor]
    return max(_largest(scores - wanted), _largest(boxes))


def final_difference(
    outputs: Mapping[str, Array], expected: Mapping[str, Array], score_floor: float
) -> float:
    """Largest absolute difference between boxes that stand for the same thing, of coordinates and scores.

    Rows may be ordered differently, since scores that nearly tie change places. A row that has no partner
    with its class on the other side counts by how far its score is above what would have kept it out there:
    the lowest score, where all rows are taken, or `score_floor`.

    Args:
        outputs: ``boxes`` (N, D, 4), ``scores`` (N, D) and ``classes`` (N, D).
        expected: The same; the number of rows may be another.
        score_floor: Lowest score that is given at all.

    Returns:
        Infinity where a number is missing.
    """
    if any(np.isnan(side[name]).any() for side in (outputs, expected) for name in ("boxes", "scores")):
        return float("inf")
    rows = range(len(expected["scores"]))
    pairs = ((_row(outputs, row), _row(expected, row)) for row in rows)
    return max((_picture_difference(*pair, score_floor) for pair in pairs), default=0.0)


def _row(side: Mapping[str, Array], row: int) -> tuple[Array, Array, Array]:
    return side["boxes"][row], side["scores"][row], side["classes"][row]


def _picture_difference(
    one: tuple[Array, Array, Array], other: tuple[Array, Array, Array], score_floor: float
) -> float:
    (boxes, scores, classes), (boxes_2, scores_2, classes_2) = one, other
    alike = np.where(classes[:, None] == classes_2[None], iou_matrix(boxes, boxes_2), 0.0)
    alike[scores <= 0] = 0.0
    alike[:, scores_2 <= 0] = 0.0
    worst = 0.0
    free, free_2 = scores > 0, scores_2 > 0
    for row in np.argsort(-scores, kind="stable"):
        best = int(alike[row].argmax()) if alike.shape[1] else 0
        if not free[row] or not alike.shape[1] or alike[row, best] < _LIKE:
            continue
        free[row], free_2[best] = False, False
        alike[:, best] = 0.0
        worst = max(worst, _largest(boxes[row].astype(np.float64) - boxes_2[best]))
        worst = max(worst, abs(float(scores[row]) - float(scores_2[best])))
    alone = scores[free].max(initial=0.0) - _bar(scores_2, score_floor)
    alone_2 = scores_2[free_2].max(initial=0.0) - _bar(scores, score_floor)
    return max(worst, float(alone), float(alone_2))


def _bar(scores: Array, score_floor: float) -> float:
    """What a box has to score to be among these."""
    full = len(scores) > 0 and scores.min() > 0
    return max(score_floor, float(scores.min())) if full else score_floor


def _largest(differences: Array) -> float:
    return float(np.nan_to_num(np.abs(differences), nan=np.inf).max(initial=0.0))
