"""IoU and Dice against hand-computed figures and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

from sdk.results.segmentation import UNSEEN
from train.data.masks import IGNORED
from train.segmentation_metrics import (
    figures_by_region,
    mean_dice,
    mean_iou,
    percentile_interval,
    pixel_accuracy,
    pixel_confusion,
    resampled,
)

TRUTH = np.array([[0, 0, 1, 1], [0, 2, 2, IGNORED]], np.uint8)
ANSWER = np.array([[0, 1, 1, 1], [0, 2, 0, 2]], np.uint8)


def test_confusion_by_hand() -> None:
    assert pixel_confusion(ANSWER, TRUTH, 3).tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_figures_by_hand() -> None:
    regions = figures_by_region(pixel_confusion(ANSWER, TRUTH, 3), ("a", "b", "c"))
    assert [region.iou for region in regions] == pytest.approx([2 / 4, 2 / 3, 1 / 2])
    assert [region.dice for region in regions] == pytest.approx([4 / 6, 4 / 5, 2 / 3])
    assert [region.pixels for region in regions] == [3, 2, 2]


def test_means_by_hand() -> None:
    matrix = pixel_confusion(ANSWER, TRUTH, 3)
    assert float(mean_iou(matrix)) == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)
    assert float(mean_dice(matrix)) == pytest.approx((4 / 6 + 4 / 5 + 2 / 3) / 3)
    assert float(pixel_accuracy(matrix)) == pytest.approx(5 / 7)


def test_class_that_is_nowhere_is_left_out() -> None:
    matrix = pixel_confusion(ANSWER, TRUTH, 5)
    assert float(mean_iou(matrix)) == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_pixels_without_an_answer_count_as_wrong() -> None:
    answer = ANSWER.copy()
    answer[0] = UNSEEN
    matrix = pixel_confusion(answer, TRUTH, 3)
    assert float(pixel_accuracy(matrix)) == pytest.approx(2 / 7)


def test_mean_iou_is_torchmetrics_over_all_pixels() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, (5, 20, 30)).astype(np.uint8)
    answer = np.where(generator.random(truth.shape) < 0.7, truth, generator.integers(0, 4, truth.shape))
    truth[:, :3] = IGNORED
    matrix = sum(
        pixel_confusion(one.astype(np.uint8), true, 4) for one, true in zip(answer, truth, strict=True)
    )
    expected = multiclass_jaccard_index(
        torch.from_numpy(answer), torch.from_numpy(truth.astype(np.int64)), 4, ignore_index=IGNORED
    )
    assert float(mean_iou(matrix)) == pytest.approx(float(expected), abs=1e-6)


def _pictures(count: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    right = generator.integers(60, 100, count)
    return np.stack([np.diag((r, r)) + (100 - r) * np.array(((0, 1), (1, 0))) for r in right])


def test_interval_holds_the_figure_and_narrows_with_pictures() -> None:
    widths = []
    for count in (10, 160):
        confusions = _pictures(count)
        low, high = percentile_interval(mean_iou(resampled(confusions)))
        assert low < float(mean_iou(confusions.sum(axis=0))) < high
        widths.append(high - low)
    # With 16 times the pictures a quarter of the width; drawing blurs that.
    assert widths[1] < 0.45 * widths[0]


def test_interval_of_one_result_is_the_same_every_time() -> None:
    confusions = _pictures(12)
    np.testing.assert_array_equal(resampled(confusions), resampled(confusions))


def test_single_picture_has_no_spread() -> None:
    (confusion,) = _pictures(1)
    low, high = percentile_interval(mean_iou(resampled(confusion[None])))
    assert low == high == float(mean_iou(confusion))
