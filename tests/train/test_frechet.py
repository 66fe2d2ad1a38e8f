"""The Fréchet distance against its closed form, and its interval against what is true."""

from __future__ import annotations

import numpy as np
import pytest

from train.frechet import BLOCKS, estimate_distance, frechet_distance


def test_distance_of_normal_sets_is_the_closed_form() -> None:
    generator = np.random.default_rng(0)
    one = generator.normal(0.0, 1.0, (200_000, 3))
    other = generator.normal(0.0, 1.0, (200_000, 3)) * [1.0, 2.0, 3.0] + [0.5, 0.0, 0.0]
    # |m|² + Σ (s1 - s2)² for independent axes.
    assert frechet_distance(one, other) == pytest.approx(0.25 + 1.0 + 4.0, rel=0.02)


def test_distance_agrees_with_the_root_of_a_matrix_product() -> None:
    linalg = pytest.importorskip("scipy.linalg", reason="scipy is not installed")
    generator = np.random.default_rng(1)
    mix = generator.normal(size=(6, 6))
    one, other = generator.normal(size=(400, 6)) @ mix, generator.normal(size=(300, 6)) + 0.3
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    means = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(first + second - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-9)


def test_distance_of_a_set_to_itself_is_zero_even_where_features_never_vary() -> None:
    features = np.random.default_rng(2).normal(size=(50, 8))
    features[:, 3] = 1.0
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_interval_holds_the_distance_of_large_sets() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(40):
        found = estimate_distance(generator.normal(0.0, 1.0, (500, 4)), generator.normal(1.0, 1.0, (500, 4)))
        assert found.low <= found.value <= found.high
        held += found.low <= 4.0 <= found.high
    # 95 % of 40 are 38; 33 or fewer happen once in 300 such tests.
    assert held >= 34


def test_interval_uses_every_row_once() -> None:
    features = np.arange(2 * BLOCKS, dtype=np.float64)[:, None]
    found = estimate_distance(features, features + 1.0)
    assert found.value == pytest.approx(1.0)
    assert found.high == pytest.approx(found.low, abs=1e-6)
