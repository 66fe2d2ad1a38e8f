"""How far one detector's numbers are from another's, counting what can matter to an answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtimes import Array
from sdk.outputs.nms import iou_matrix

_LIKE = 0.5
"""Intersection over union from which two boxes of a class stand for the same thing."""


def candidate_difference(
    outputs: Mapping[str, Array], expected: Mapping[str, Array], score_floor: float
) -> float:
    """Largest absolute difference of any score, and of the boxes that score at least `score_floor`.

    Where nothing is, a box is whatever the network happens to give: such boxes are never read, and their
    sizes, which are exponentials, would hide everything else.

    Args:
        outputs: ``boxes`` (N, M, 4) as shares of the input and ``scores`` (N, M, K).
        expected: The same.
        score_floor: Boxes below it on both sides are not compared.

    Returns:
        Infinity where a number that is compared is missing.
    """
    scores, wanted = outputs["scores"].astype(np.float64), expected["scores"]
    read = np.maximum(scores.max(axis=-1), wanted.max(axis=-1)) >= score_floor
    boxes = outputs["boxes"].astype(np.float64)[read] - expected["boxes"][read]
    return max(_largest(scores - wanted), _largest(boxes))


def final_difference(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Largest absolute difference between boxes that stand for the same thing, of coordinates and scores.

    Rows may be ordered differently, since scores that nearly tie change places. A row that has no partner
    with its class on the other side counts with its whole score.

    Args:
        outputs: ``boxes`` (N, D, 4), ``scores`` (N, D) and ``classes`` (N, D).
        expected: The same.

    Returns:
        Infinity where a number is missing.
    """
    if any(np.isnan(side[name]).any() for side in (outputs, expected) for name in ("boxes", "scores")):
        return float("inf")
    rows = range(len(expected["scores"]))
    return max((_picture_difference(_row(outputs, row), _row(expected, row)) for row in rows), default=0.0)


def _row(side: Mapping[str, Array], row: int) -> tuple[Array, Array, Array]:
    return side["boxes"][row], side["scores"][row], side["classes"][row]


def _picture_difference(one: tuple[Array, Array, Array], other: tuple[Array, Array, Array]) -> float:
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
    alone = np.concatenate([scores[free], scores_2[free_2]])
    return max(worst, float(alone.max(initial=0.0)))


def _largest(differences: Array) -> float:
    return float(np.nan_to_num(np.abs(differences), nan=np.inf).max(initial=0.0))
