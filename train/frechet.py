"""The Fréchet distance between two sets of features: how far generated pictures are from real ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runtimes import Array

FEWEST = 20
"""Fewer pictures than this say nothing about how pictures vary."""
BLOCKS = 10
"""Parts of the jackknife."""
_QUANTILE_95 = 1.96


class Estimate(NamedTuple):
    """A distance with its 95 % interval."""

    value: float
    low: float
    high: float


def frechet_distance(features: Array, others: Array) -> float:
    """``|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)``, with means m and covariances C of two sets.

    Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule"; here on features of any network. The
    trace of the root is that of ``(C1^½ C2 C1^½)^½``, which is symmetric, so that no imaginary part arises.
    It is biased upwards for few samples: compare only distances of as many.

    Args:
        features: float (N, D), N at least 2.
        others: float (M, D).
    """
    mean, covariance = _moments(features)
    other_mean, other_covariance = _moments(others)
    root = _root(covariance)
    eigenvalues = np.linalg.eigvalsh(root @ other_covariance @ root)
    crossed = np.sqrt(eigenvalues.clip(min=0.0)).sum()
    spread = np.trace(covariance) + np.trace(other_covariance) - 2.0 * crossed
    return float(max(0.0, ((mean - other_mean) ** 2).sum() + spread))


def estimate_distance(features: Array, others: Array) -> Estimate:
    """`frechet_distance` with a 95 % interval from the jackknife over `BLOCKS` parts of both sets.

    Standard error by deleting a group at a time: Efron & Stein 1981, "The Jackknife Estimate of Variance".
    """
    value = frechet_distance(features, others)
    parts = [np.arange(len(found)) % BLOCKS for found in (features, others)]
    without = np.array(
        [frechet_distance(features[parts[0] != block], others[parts[1] != block]) for block in range(BLOCKS)]
    )
    error = np.sqrt((BLOCKS - 1) / BLOCKS * ((without - without.mean()) ** 2).sum())
    return Estimate(value, max(0.0, value - _QUANTILE_95 * error), value + _QUANTILE_95 * float(error))


def _moments(features: Array) -> tuple[Array, Array]:
    wide = features.astype(np.float64)
    return wide.mean(axis=0), np.atleast_2d(np.cov(wide, rowvar=False))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    return root
