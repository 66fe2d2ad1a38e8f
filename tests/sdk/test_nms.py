"""Suppression of overlapping boxes against hand-made cases and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from sdk.outputs.nms import iou_matrix, suppress


def random_boxes(count: int, seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of a few pixels to a third of the picture; no two scores are equal."""
    generator = np.random.default_rng(seed)
    corner = generator.random((count, 2)) * spread
    boxes = np.concatenate([corner, corner + generator.random((count, 2)) * 0.3], axis=1).astype(np.float32)
    scores = (generator.permutation(count) + 1).astype(np.float32) / (count + 1)
    return boxes, scores, generator.integers(0, 5, count)


@pytest.mark.parametrize("iou_threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize(("count", "spread"), [(0, 1.0), (1, 1.0), (60, 0.2), (700, 0.5), (2535, 1.0)])
def test_suppress_keeps_what_torchvision_keeps(count: int, spread: float, iou_threshold: float) -> None:
    boxes, scores, classes = random_boxes(count, count, spread)
    kept = suppress(boxes, scores, classes, iou_threshold, count + 1)
    wanted = batched_nms(torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), iou_threshold)
    np.testing.assert_array_equal(kept, wanted.numpy())
    assert count < 60 or len(kept) < count, "something has to be suppressed for this to say anything"


def test_suppress_keeps_the_better_of_a_class_and_both_of_two() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]], np.float32)
    scores = np.array([0.6, 0.9, 0.5], np.float32)
    assert suppress(boxes, scores, np.array([0, 0, 1]), 0.5, 10).tolist() == [1, 2]
    assert suppress(boxes, scores, np.array([0, 0, 0]), 0.5, 10).tolist() == [1]


def test_suppress_a_suppressed_box_suppresses_nothing() -> None:
    chain = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    kept = suppress(chain, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, int), 0.4, 10)
    assert kept.tolist() == [0, 2]


def test_suppress_at_the_threshold_a_box_stays() -> None:
    boxes = np.array([[0, 0, 2, 1], [1, 0, 3, 1]], np.float32)  # a third in common
    scores = np.array([0.9, 0.8], np.float32)
    assert len(suppress(boxes, scores, np.zeros(2, int), float(np.float32(1 / 3)), 10)) == 2
    assert len(suppress(boxes, scores, np.zeros(2, int), 0.33, 10)) == 1


def test_suppress_stops_at_the_most_with_the_best_and_equal_scores_keep_their_order() -> None:
    boxes, scores, classes = random_boxes(500, 3, 1.0)
    everything = suppress(boxes, scores, classes, 0.5, 500)
    np.testing.assert_array_equal(suppress(boxes, scores, classes, 0.5, 7), everything[:7])
    apart = np.array([[3 * i, 0, 3 * i + 1, 1] for i in range(200)], np.float32)
    kept = suppress(apart, np.full(200, 0.5, np.float32), np.zeros(200, int), 0.5, 150)
    assert kept.tolist() == list(range(150))


def test_iou_matrix_is_torchvisions_and_zero_without_area() -> None:
    boxes, others = random_boxes(40, 1, 0.4)[0], random_boxes(30, 2, 0.4)[0]
    wanted = box_iou(torch.tensor(boxes), torch.tensor(others)).numpy()
    np.testing.assert_allclose(iou_matrix(boxes, others), wanted, rtol=1e-5, atol=1e-7)
    point = np.array([[0.2, 0.2, 0.2, 0.2]], np.float32)
    assert iou_matrix(point, point).tolist() == [[0.0]]
