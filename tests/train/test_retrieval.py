"""Looking items up among their like, against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes import DataError
from train import retrieval
from train.metrics import mean_interval
from train.retrieval import choose_threshold, neighbours, retrieve


def _at(*degrees: float) -> np.ndarray:
    """Unit vectors of a plane by their angle."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


VECTORS = _at(0, 10, 25, 31, 60)


def test_retrieve_by_hand() -> None:
    vectors, targets = _at(0, 10, 25, 31, 43, 90), np.array([0, 0, 1, 0, 1, 2])
    found = retrieve(vectors, targets, "x")
    # Item 5 stands alone in its class: it may be found, and is not looked up.
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert found.nearest.tolist() == [1, 0, 3, 2, 3]
    assert found.hits.tolist() == [True, True, False, False, False]
    # R is 2 for class 0 and 1 for class 1. Item 0 finds [0, 1]: (1/1 + 0)/2. Item 1 finds [0, 1] likewise.
    # Item 3 finds [1, 1]. Items 2 and 4 look at one other each, of another class.
    assert found.average_precision.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]


def test_hits_at_any_depth_count_by_precision() -> None:
    # From 0°: class 1 at 1°, class 0 at 2° and 3°, so precisions 1/2 and 2/3 stand at ranks 2 and 3; R is 2.
    found = retrieve(_at(0, 1, 2, 3), np.array([0, 1, 0, 0]), "x")
    assert found.average_precision[0] == pytest.approx((0 + 1 / 2) / 2)


@pytest.mark.parametrize("rows", [1, 2, 3, 1000], ids="{} at a time".format)
def test_retrieve_does_not_depend_on_how_many_are_looked_up_at_a_time(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(23, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    targets = generator.integers(0, 4, 23)
    monkeypatch.setattr(retrieval, "_ROWS", rows)
    found = retrieve(vectors, targets, "x")

    cosines = vectors @ vectors.T
    for at, row in enumerate(found.rows):
        ranked = [other for other in np.argsort(-cosines[row]) if other != row]
        hits = [targets[other] == targets[row] for other in ranked]
        depth = sum(hits)
        precision = sum(sum(hits[: i + 1]) / (i + 1) for i in range(depth) if hits[i]) / depth
        assert found.nearest[at] == ranked[0]
        assert found.average_precision[at] == pytest.approx(precision)


def test_perfect_clusters_are_found_perfectly() -> None:
    found = retrieve(np.repeat(_at(0, 90, 180), 4, axis=0), np.repeat([0, 1, 2], 4), "x")
    assert found.hits.all() and (found.average_precision == 1.0).all()


def test_classes_of_one_item_each_cannot_be_looked_up() -> None:
    with pytest.raises(DataError, match="Split 'val': got no two pictures of one class"):
        retrieve(_at(0, 10), np.array([0, 1]), "Split 'val'")


def test_neighbours_leave_the_item_itself_out() -> None:
    nearest, cosines = neighbours(VECTORS, np.array([0, 4]), 2)
    assert nearest.tolist() == [[1, 2], [3, 2]]
    np.testing.assert_allclose(cosines[0], np.cos(np.radians([10, 25])), atol=1e-6)


def test_neighbours_are_no_more_than_there_are() -> None:
    assert neighbours(VECTORS, np.array([0]), 99)[0].shape == (1, 4)


def test_threshold_keeps_false_matches_rare() -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(5), 100)
    vectors = np.eye(5, dtype=np.float32)[targets] + generator.normal(0, 0.3, (500, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = choose_threshold(vectors, targets)
    assert chosen is not None
    cosines, same = vectors @ vectors.T, targets[:, None] == targets[None]
    # Of all pairs, where the choice saw 200,000 drawn ones: a deviation of the share is 0.0002.
    assert (cosines[~same] >= chosen.cosine).mean() == pytest.approx(chosen.false_matches, abs=0.001)
    assert 0.005 < chosen.false_matches <= retrieval.FALSE_MATCH_RATE
    apart = same & ~np.eye(500, dtype=bool)
    assert (cosines[apart] >= chosen.cosine).mean() == pytest.approx(chosen.true_matches, abs=0.01)


def test_threshold_needs_pairs_of_both_sorts() -> None:
    assert choose_threshold(_at(0, 10), np.array([0, 0])) is None


def test_interval_of_a_mean_by_hand() -> None:
    # A deviation of 0.5 over the root of 16, times 1.96.
    low, high = mean_interval(np.array([0.0, 1.0] * 8))
    half = 1.96 * np.std([0, 1] * 8, ddof=1) / 4
    assert (low, high) == (pytest.approx(0.5 - half, abs=1e-4), pytest.approx(0.5 + half, abs=1e-4))
    assert mean_interval(np.ones(5)) == (1.0, 1.0)
    assert mean_interval(np.array([0.3])) == (0.0, 1.0)
