"""How good detections are: mean average precision as COCO defines it, with intervals, and PR curves.

Matching is pycocotools'. Its sums over all pictures are done again here with a weight per picture, which
gives the same figures for weights of one (tested) and those of a bootstrap sample for drawn ones.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    from sdk.results import Detections
    from train.data.boxes import BoxTargets

IOUS = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds of overlap."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's points of recall at which precision is read."""
MOST_DETECTIONS = 100
"""Of one class in one picture, the surest first; COCO's limit."""
RESAMPLES = 200
"""Bootstrap samples: enough for a 95 % interval to two digits, and cheap enough for every epoch."""
RESAMPLE_SEED = 20140501


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class over all pictures, the surest first.

    Attributes:
        scores: float64 (n,), descending.
        hits: bool (thresholds, n): on a box that was there, at each of `IOUS`.
        counted: bool (thresholds, n): False on a crowd, where a detection is neither right nor wrong.
        picture: Index of each detection's picture, int64 (n,).
        truths: Boxes that were there, per picture, int64 (pictures,).
    """

    scores: Array
    hits: Array
    counted: Array
    picture: Array
    truths: Array

    def average_precision(self, weights: Array) -> Array:
        """Average precision at each of `IOUS`, float64 (thresholds,); NaN where nothing was there.

        Args:
            weights: How often each picture counts, float64 (pictures,).
        """
        there = float(self.truths @ weights)
        if there == 0:
            return np.full(len(IOUS), np.nan)
        precision, recall = self.curves(weights)
        # Precision at a recall is the best at that recall or any higher one.
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        found = np.zeros(len(IOUS))
        for at in range(len(IOUS)):
            first = np.searchsorted(recall[at], RECALLS, side="left")
            reached = first[first < len(self.scores)]
            found[at] = best[at, reached].sum() / len(RECALLS)
        return found

    def curves(self, weights: Array) -> tuple[Array, Array]:
        """Precision and recall at each of `IOUS` after each detection, float64 (thresholds, n) both."""
        each = weights[self.picture]
        right = np.cumsum(self.hits * each, axis=1)
        counted = np.cumsum(self.counted * each, axis=1)
        precision = right / np.maximum(counted, np.spacing(1))
        return precision, right / max(float(self.truths @ weights), np.spacing(1))


@dataclass(frozen=True)
class BestPoint:
    """The score threshold with the highest F1 at an overlap of one half.

    Attributes:
        threshold: Detections at least this sure are kept; 1 where none is right.
        precision: Of those kept, the share that are right.
        recall: Of what was there, the share found.
        f1: Harmonic mean of the two.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


def match(results: Sequence[Detections], targets: Sequence[BoxTargets], classes: int) -> list[ClassMatches]:
    """Match detections to boxes, class by class, picture by picture.

    Args:
        results: One per picture, with everything above a low score: what is cut off cannot be counted.
        targets: What was there.
        classes: How many classes there are.
    """
    evaluated = _evaluate(results, targets, classes)
    return [_class_matches(evaluated[at], len(targets)) for at in range(classes)]


def average_precisions(matches: Sequence[ClassMatches], weights: Array | None = None) -> Array:
    """Average precision per class and threshold, float64 (classes, thresholds).

    Args:
        matches: One per class.
        weights: How often each picture counts; None is once.
    """
    if weights is None:
        weights = np.ones(len(matches[0].truths))
    return np.stack([one.average_precision(weights) for one in matches])


def bootstrap_intervals(matches: Sequence[ClassMatches]) -> Array:
    """95 % intervals of mAP at one half and of mAP over all `IOUS`, float64 (2, 2): a row each, low and high.

    Percentile bootstrap over pictures (Efron & Tibshirani 1993, chapter 13): objects in one picture are not
    independent of each other, pictures are.
    """
    pictures = len(matches[0].truths)
    draws = np.random.default_rng(RESAMPLE_SEED).multinomial(pictures, [1 / pictures] * pictures, RESAMPLES)
    drawn = []
    for weights in draws.astype(np.float64):
        table = average_precisions(matches, weights)
        if not np.isnan(table).all():
            drawn.append((np.nanmean(table[:, 0]), np.nanmean(table)))
    return np.percentile(np.asarray(drawn), [2.5, 97.5], axis=0).T


def best_point(matches: ClassMatches) -> BestPoint:
    """Where F1 is highest at an overlap of one half."""
    precision, recall = (curve[0] for curve in matches.curves(np.ones(len(matches.truths))))
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.spacing(1))
    if not len(f1) or f1.max() <= 0:
        return BestPoint(1.0, 0.0, 0.0, 0.0)
    at = int(f1.argmax())
    return BestPoint(float(matches.scores[at]), float(precision[at]), float(recall[at]), float(f1[at]))


def pooled(matches: Sequence[ClassMatches]) -> ClassMatches:
    """All classes as one, for one threshold and one curve over everything."""
    scores = np.concatenate([one.scores for one in matches])
    order = np.argsort(-scores, kind="stable")
    return ClassMatches(
        scores[order],
        np.concatenate([one.hits for one in matches], axis=1)[:, order],
        np.concatenate([one.counted for one in matches], axis=1)[:, order],
        np.concatenate([one.picture for one in matches])[order],
        np.sum([one.truths for one in matches], axis=0),
    )


def _evaluate(
    results: Sequence[Detections], targets: Sequence[BoxTargets], classes: int
) -> list[list[dict[str, Any] | None]]:
    """What pycocotools answers per class and picture."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = COCO(), COCO()
    shared = {
        "images": [{"id": at} for at in range(len(targets))],
        "categories": [{"id": at} for at in range(classes)],
    }
    truth.dataset = {**shared, "annotations": _truth_entries(targets)}
    found.dataset = {**shared, "annotations": _found_entries(results)}
    # It prints what it is doing.
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.iouThrs = IOUS
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.params.areaRng = [[0.0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
    count = len(targets)
    return [evaluation.evalImgs[at * count : (at + 1) * count] for at in range(classes)]


def _truth_entries(targets: Sequence[BoxTargets]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for picture, target in enumerate(targets):
        for box, label, crowd in zip(target.boxes_xyxy, target.classes, target.crowd, strict=True):
            entries.append({**_entry(len(entries), picture, box, label), "iscrowd": int(crowd)})
    return entries


def _found_entries(results: Sequence[Detections]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for picture, result in enumerate(results):
        for box, score, label in zip(result.boxes_xyxy, result.scores, result.class_ids, strict=True):
            entries.append({**_entry(len(entries), picture, box, label), "score": float(score)})
    return entries


def _entry(number: int, picture: int, box_xyxy: Array, label: Any) -> dict[str, Any]:
    left, top, right, bottom = (float(edge) for edge in box_xyxy)
    width, height = right - left, bottom - top
    # Ids count from 1: pycocotools takes a match with id 0 for none.
    return {
        "id": number + 1,
        "image_id": picture,
        "category_id": int(label),
        "bbox": [left, top, width, height],
        "area": width * height,
    }


def _class_matches(evaluated: Sequence[dict[str, Any] | None], pictures: int) -> ClassMatches:
    truths = np.zeros(pictures, np.int64)
    scores, hits, counted, picture = [np.zeros(0)], [_none()], [_none()], [np.zeros(0, np.int64)]
    for at, one in enumerate(evaluated):
        if one is None:
            continue
        truths[at] = int(np.count_nonzero(np.asarray(one["gtIgnore"]) == 0))
        ignored = np.asarray(one["dtIgnore"], bool)
        scores.append(np.asarray(one["dtScores"], np.float64))
        hits.append(np.asarray(one["dtMatches"], bool) & ~ignored)
        counted.append(~ignored)
        picture.append(np.full(len(one["dtScores"]), at, np.int64))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return ClassMatches(
        np.concatenate(scores)[order],
        np.concatenate(hits, axis=1)[:, order],
        np.concatenate(counted, axis=1)[:, order],
        np.concatenate(picture)[order],
        truths,
    )


def _none() -> Array:
    return np.zeros((len(IOUS), 0), bool)
