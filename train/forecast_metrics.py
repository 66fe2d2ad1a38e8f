"""How good forecasts are: errors against what came, beside those of seasonal naive forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes import Array
from sdk.artifact import Metric
from sdk.artifact.evidence import SHARE
from train.metrics import Z_95, wilson_interval


@dataclass(frozen=True)
class Errors:
    """Errors of many forecasts.

    Attributes:
        mae: Mean absolute error, in the target's unit.
        rmse: Root of the mean squared error, likewise.
        mape: Mean absolute error as a share of the true value; None where a true value is zero.
        smape: The same as a share of the mean of true and forecast size: 0..2.
        mase: Mean absolute error over that of the seasonal naive forecast one row ahead over the training
            rows (Hyndman & Koehler 2006, "Another look at measures of forecast accuracy").
    """

    mae: float
    rmse: float
    mape: float | None
    smape: float
    mase: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON data."""
        return {"mae": self.mae, "rmse": self.rmse, "mape": self.mape, "smape": self.smape, "mase": self.mase}


def errors_of(found: Array, truth: Array, naive_error: float) -> Errors:
    """Errors of forecasts float64 (N, H) against what came (N, H)."""
    apart = np.abs(found - truth)
    size = (np.abs(found) + np.abs(truth)) / 2
    return Errors(
        mae=float(apart.mean()),
        rmse=float(np.sqrt((apart**2).mean())),
        mape=float((apart / np.abs(truth)).mean()) if (truth != 0).all() else None,
        smape=float(np.divide(apart, size, out=np.zeros_like(apart), where=size > 0).mean()),
        mase=float(apart.mean() / naive_error) if naive_error > 0 else float("inf"),
    )


def seasonal_naive(past: Array, season: int, horizon: int) -> Array:
    """The last season again and again: (N, horizon) from the past (N, context) of at least one season."""
    repeats = -(-horizon // season)
    again: Array = np.tile(past[:, past.shape[1] - season :], (1, repeats))[:, :horizon]
    return again


def mean_with_interval(values: Array) -> tuple[float, float, float]:
    """The mean over forecasts with its 95 % interval (normal approximation; neighbours may be alike)."""
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float(abs(mean))
    return mean, mean - half, mean + half


def forecast_metrics(results: Sequence[Any], truths: Sequence[Any], split: str) -> tuple[Metric, ...]:
    """MAE, RMSE, sMAPE, MASE, and the coverage of every interval.

    Args:
        results: A `Forecast` per window.
        truths: A `Truth` per window.
        split: Name of the data.
    """
    found, truth = medians(results), values_of(truths)
    naive_error, count, unit = truths[0].naive_error, len(results), results[0].unit
    errors = errors_of(found, truth, naive_error)
    mae, low, high = mean_with_interval(np.abs(found - truth).mean(axis=1))
    squares = mean_with_interval(((found - truth) ** 2).mean(axis=1))
    roots = [float(np.sqrt(max(0.0, square))) for square in squares]
    _, *smape = mean_with_interval(_smape_by_window(found, truth))

    def plain(name: str, value: float, ends: Sequence[float], unit: str) -> Metric:
        return Metric(name, value, ends[0], ends[1], count, split, unit=unit, mode="min")

    mase = [end / naive_error if naive_error > 0 else float("inf") for end in (low, high)]
    metrics = [
        plain("mae", mae, (low, high), unit),
        plain("rmse", errors.rmse, roots[1:], unit),
        plain("smape", errors.smape, smape, SHARE),
    ]
    if np.isfinite(errors.mase):
        metrics.append(plain("mase", errors.mase, mase, ""))
    for share, inside in coverages(results, truth).items():
        ends = wilson_interval(int(inside.sum()), inside.size)
        metrics.append(
            Metric(
                f"coverage_{100 * share:g}", float(inside.mean()), *ends, count, split, unit=SHARE, mode="max"
            )
        )
    return tuple(metrics)


def coverages(results: Sequence[Any], truth: Array) -> dict[float, Array]:
    """Whether the truth lies in each interval, bool (N, H), by the share it should."""
    levels = results[0].levels
    quantiles = np.stack([result.quantiles for result in results])
    inside = {}
    for at, level in enumerate(levels[: len(levels) // 2]):
        share = round(1 - 2 * level, 6)
        inside[share] = (quantiles[..., at] <= truth) & (truth <= quantiles[..., -1 - at])
    return inside


def medians(results: Sequence[Any]) -> Array:
    """float64 (N, H)."""
    return np.stack([result.values for result in results]).astype(np.float64)


def values_of(truths: Sequence[Any]) -> Array:
    """float64 (N, H)."""
    return np.stack([truth.values for truth in truths])


def _smape_by_window(found: Array, truth: Array) -> Array:
    apart, size = np.abs(found - truth), (np.abs(found) + np.abs(truth)) / 2
    means: Array = np.divide(apart, size, out=np.zeros_like(apart), where=size > 0).mean(axis=1)
    return means
