"""Anchors from the shapes of a data set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from runtimes import DataError, UsageError
from train.anchors import anchors_by_map, kmeans_anchors, mean_best_iou, shape_iou

CENTRES = np.array([[10, 12], [30, 14], [40, 44], [150, 90]], np.float32)


def _shapes() -> np.ndarray:
    """Forty shapes within 5 % of each of `CENTRES`, in random order."""
    generator = np.random.default_rng(0)
    spread = generator.uniform(0.95, 1.05, (40, 4, 2))
    shapes = (CENTRES * spread).reshape(-1, 2).astype(np.float32)
    return shapes[generator.permutation(len(shapes))]


@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_found_smallest_first(seed: int) -> None:
    anchors = kmeans_anchors(_shapes(), 4, seed)
    assert anchors.dtype == np.float32
    np.testing.assert_allclose(anchors, CENTRES, rtol=0.02)


def test_same_seed_gives_the_same_anchors() -> None:
    sizes = np.random.default_rng(1).uniform(5, 200, (300, 2)).astype(np.float32)
    assert np.array_equal(kmeans_anchors(sizes, 6, 3), kmeans_anchors(sizes, 6, 3))


def test_anchors_fit_better_than_evenly_spaced_ones() -> None:
    sizes = np.random.default_rng(1).lognormal(3.5, 0.6, (400, 2)).astype(np.float32)
    even = np.repeat(np.linspace(sizes.min(), sizes.max(), 6, dtype=np.float32)[:, None], 2, axis=1)
    assert mean_best_iou(sizes, kmeans_anchors(sizes, 6, 0)) > 0.1 + mean_best_iou(sizes, even)


def test_as_many_anchors_as_shapes_are_the_shapes() -> None:
    sizes = np.array([[30, 30], [10, 20], [10, 20], [5, 5]], np.float32)
    np.testing.assert_allclose(kmeans_anchors(sizes, 3, 0), [[5, 5], [10, 20], [30, 30]])


def test_shapes_overlap_as_boxes_with_one_centre() -> None:
    # 10×20 within 20×20: 200 / 400. 10×20 across 20×10: 100 / 300.
    overlaps = shape_iou(torch.tensor([[10.0, 20.0]]), torch.tensor([[20.0, 20.0], [20.0, 10.0]]))
    assert overlaps[0].tolist() == pytest.approx([1 / 2, 1 / 3])
    assert mean_best_iou(np.array([[10.0, 20.0], [20.0, 20.0]]), np.array([[20.0, 20.0]])) == pytest.approx(
        0.75
    )


def test_coarse_maps_get_the_large_anchors() -> None:
    anchors = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    assert anchors_by_map(anchors, 2) == (((5, 6), (7, 8)), ((1, 2), (3, 4)))


def test_anchors_that_maps_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Anchors: got 5, expected a multiple of 2"):
        anchors_by_map(np.ones((5, 2), np.float32), 2)


@pytest.mark.parametrize("sizes", [np.ones((9, 2)), np.zeros((0, 2))], ids=["all alike", "none"])
def test_too_few_shapes_are_refused(sizes: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"different box shapes, expected at least 3"):
        kmeans_anchors(sizes, 3, 0)


def test_shape_without_an_area_is_refused() -> None:
    with pytest.raises(ValueError, match="without an area"):
        kmeans_anchors(np.array([[1.0, 2.0], [3.0, 0.0]]), 1, 0)
