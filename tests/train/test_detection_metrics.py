"""Average precision by hand, against pycocotools' own sums, and its intervals."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from runtimes import Array
from sdk.results import Detections
from train.data.boxes import BoxTargets, no_boxes
from train.detection_agreement import mean_agreement
from train.detection_metrics import (
    IOUS,
    MOST_DETECTIONS,
    _found_entries,
    _truth_entries,
    average_precisions,
    best_point,
    bootstrap_intervals,
    match,
    pooled,
)

BOX = (10.0, 10.0, 50.0, 50.0)
FAR = (100.0, 100.0, 140.0, 140.0)
HALF_OVER = (10.0, 10.0, 50.0, 40.0)
"""Three quarters of `BOX`: right up to an overlap of 0.75."""


def _truth(*boxes: tuple[float, ...], classes: list[int] | None = None, crowd: bool = False) -> BoxTargets:
    count = len(boxes)
    labels = np.array(classes if classes is not None else [0] * count, np.int64)
    return BoxTargets(np.array(boxes, np.float32).reshape(-1, 4), labels, np.full(count, crowd))


def _found(*scored: tuple[tuple[float, ...], float], classes: list[int] | None = None) -> Detections:
    count = len(scored)
    labels = np.array(classes if classes is not None else [0] * count, np.int64)
    boxes = np.array([box for box, _ in scored], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in scored], np.float32)
    return Detections(boxes, scores, labels, tuple(map(str, labels)), None, (200, 200))


def _ap(results: list[Detections], targets: list[BoxTargets]) -> Array:
    return average_precisions(match(results, targets, 1))[0]


def test_perfect_answers_score_one() -> None:
    assert _ap([_found((BOX, 0.9), (FAR, 0.2))], [_truth(BOX, FAR)]) == pytest.approx(np.ones(10))


def test_overlap_decides_at_each_threshold() -> None:
    """IoU 0.75 is a hit at 0.50 to 0.75, six of ten thresholds."""
    assert _ap([_found((HALF_OVER, 0.9))], [_truth(BOX)]).tolist() == [1.0] * 6 + [0.0] * 4


def test_a_wrong_box_before_the_right_one_halves_precision() -> None:
    assert _ap([_found((FAR, 0.9), (BOX, 0.5))], [_truth(BOX)])[0] == pytest.approx(0.5)


def test_half_of_the_boxes_found_is_half_of_the_recall() -> None:
    """Recall 0.5 is reached at 51 of 101 points."""
    assert _ap([_found((BOX, 0.9))], [_truth(BOX, FAR)])[0] == pytest.approx(51 / 101)


def test_a_second_box_on_the_same_object_is_wrong() -> None:
    once = _ap([_found((BOX, 0.9), (FAR, 0.3))], [_truth(BOX, FAR)])[0]
    twice = _ap([_found((BOX, 0.9), (BOX, 0.8), (FAR, 0.3))], [_truth(BOX, FAR)])[0]
    assert once == pytest.approx(1.0)
    assert twice == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_on_a_crowd_counts_neither_way() -> None:
    crowd = BoxTargets(*(np.concatenate(pair) for pair in zip(
        *[(t.boxes_xyxy, t.classes, t.crowd) for t in (_truth(BOX), _truth(FAR, crowd=True))], strict=True
    )))  # fmt: skip
    assert _ap([_found((FAR, 0.9), (BOX, 0.5))], [crowd])[0] == pytest.approx(1.0)


def test_classes_without_boxes_have_no_precision() -> None:
    table = average_precisions(match([_found((BOX, 0.9), classes=[1])], [_truth(BOX)], 2))
    assert table[0].tolist() == [0.0] * 10
    assert np.isnan(table[1]).all()


def _random(seed: int, pictures: int = 30) -> tuple[list[Detections], list[BoxTargets]]:
    generator = np.random.default_rng(seed)
    targets, results = [], []
    for _ in range(pictures):
        count = int(generator.integers(0, 9))
        corner, size = generator.uniform(0, 300, (count, 2)), generator.uniform(15, 90, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
        classes = generator.integers(0, 3, count)
        targets.append(BoxTargets(boxes, classes, generator.random(count) < 0.1))
        near = boxes + generator.normal(0, 4, boxes.shape).astype(np.float32)
        found = np.concatenate([near, near[:2] + 6])
        scores = generator.random(len(found)).astype(np.float32)
        order = np.argsort(-scores)
        labels = np.concatenate([classes, classes[:2]])[order]
        results.append(Detections(found[order], scores[order], labels, tuple(map(str, labels)), None))
    return results, targets


def test_sums_are_those_of_pycocotools() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results, targets = _random(0)
    truth, found = COCO(), COCO()
    shared = {
        "images": [{"id": at} for at in range(len(targets))],
        "categories": [{"id": at} for at in range(3)],
    }
    truth.dataset = {**shared, "annotations": _truth_entries(targets)}
    found.dataset = {**shared, "annotations": _found_entries(results)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    table = average_precisions(match(results, targets, 3))
    assert evaluation.params.maxDets[-1] == MOST_DETECTIONS
    assert float(np.nanmean(table)) == pytest.approx(evaluation.stats[0], abs=1e-9)
    assert float(np.nanmean(table[:, 0])) == pytest.approx(evaluation.stats[1], abs=1e-9)


def test_a_weight_of_two_is_the_picture_twice() -> None:
    results, targets = _random(1, pictures=6)
    weights = np.array([2.0, 1.0, 0.0, 1.0, 1.0, 3.0])
    rows = np.repeat(np.arange(6), weights.astype(int))
    weighted = average_precisions(match(results, targets, 3), weights)
    repeated = average_precisions(match([results[row] for row in rows], [targets[row] for row in rows], 3))
    # Copies of a detection have the same score; their order moves precision between them only.
    assert np.nan_to_num(weighted) == pytest.approx(np.nan_to_num(repeated), abs=0.02)


def test_intervals_hold_the_figure_and_shrink_with_pictures() -> None:
    few, many = (match(*_random(2, pictures=count), 3) for count in (10, 160))
    widths = []
    for matches in (few, many):
        table = average_precisions(matches)
        (low, high), (low_all, high_all) = bootstrap_intervals(matches)
        assert low < np.nanmean(table[:, 0]) < high
        assert low_all < np.nanmean(table) < high_all
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_best_point_by_hand() -> None:
    """Two right above 0.6, then a wrong one: F1 is highest at the second."""
    found = _found((BOX, 0.9), (FAR, 0.6), ((0.0, 60.0, 20.0, 90.0), 0.4))
    best = best_point(match([found], [_truth(BOX, FAR)], 1)[0])
    assert (best.precision, best.recall, best.f1) == pytest.approx((1.0, 1.0, 1.0))
    assert best.threshold == pytest.approx(0.6)


def test_without_a_right_box_nothing_is_shown() -> None:
    best = best_point(match([_found((FAR, 0.9))], [_truth(BOX)], 1)[0])
    assert (best.threshold, best.f1) == (1.0, 0.0)
    assert best_point(match([_found()], [_truth(BOX)], 1)[0]).threshold == 1.0


def test_classes_pooled_keep_every_detection_in_order() -> None:
    matches = match(*_random(3), 3)
    together = pooled(matches)
    assert len(together.scores) == sum(len(one.scores) for one in matches)
    assert (np.diff(together.scores) <= 0).all()
    assert together.truths.sum() == sum(one.truths.sum() for one in matches)
    assert together.hits.shape == (len(IOUS), len(together.scores))


def test_pictures_with_nothing_in_them_count_their_false_boxes() -> None:
    with_empty = _ap([_found((BOX, 0.5)), _found((BOX, 0.9))], [_truth(BOX), no_boxes()])
    assert with_empty[0] == pytest.approx(0.5)


MOVED = (12.0, 10.0, 52.0, 50.0)
"""IoU with `BOX` 38/42: above 0.9."""


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (_found((BOX, 0.8)), _found((BOX, 0.8)), 1.0),
        (_found(), _found(), 1.0),
        (_found((BOX, 0.8)), _found(), 0.0),
        (_found((BOX, 0.8)), _found((MOVED, 0.8)), 1.0),
        (_found((BOX, 0.8)), _found((HALF_OVER, 0.8)), 0.0),
        (_found((BOX, 0.8)), _found((BOX, 0.8), classes=[1]), 0.0),
        (_found((BOX, 0.6), (FAR, 0.2)), _found((BOX, 0.6)), 1.2 / 1.4),
        (_found((BOX, 0.5)), _found((BOX, 0.5), (BOX, 0.5)), 1.0 / 1.5),
    ],
    ids=["same", "empty", "missing", "moved", "moved far", "class", "weak one missing", "twice"],
)
def test_agreement_by_hand(one: Detections, other: Detections, share: float) -> None:
    assert mean_agreement([one], [other]) == pytest.approx(share)
    assert mean_agreement([other], [one]) == pytest.approx(share)
    assert mean_agreement([one, one], [one, other]) == pytest.approx((1 + share) / 2)
