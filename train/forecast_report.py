"""What is said of a forecasting network beyond its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtimes import Array
from train.data.series_csv import season_of
from train.forecast_metrics import coverages, errors_of, medians, seasonal_naive, values_of
from train.plots import png_of
from train.tasks.base import Report, Split

_DAYS_A_WEEK = 7
_SHOWN = 6


def make_forecast_report(results: Sequence[Any], split: Split) -> Report:
    """Errors beside those of naive forecasts, error and coverage by row of the horizon, and a picture.

    Args:
        results: A `Forecast` per window.
        split: With a `Truth` per window.
    """
    truths = list(split.targets)
    found, truth = medians(results), values_of(truths)
    naive_error = truths[0].naive_error
    rivals = {"model": found, **_naive_forecasts(results, truths)}
    errors = {name: errors_of(values, truth, naive_error) for name, values in rivals.items()}
    inside = coverages(results, truth)
    best = min((error.mae for name, error in errors.items() if name != "model"), default=None)
    figures: dict[str, Any] = {
        "errors": {name: error.to_dict() for name, error in errors.items()},
        "below_naive": {
            name: 1 - errors["model"].mae / error.mae
            for name, error in errors.items()
            if name != "model" and error.mae > 0
        },
        "coverage": {f"{share:g}": float(hits.mean()) for share, hits in inside.items()},
        "mae_by_row": np.abs(found - truth).mean(axis=0).tolist(),
        "coverage_by_row": {f"{share:g}": hits.mean(axis=0).tolist() for share, hits in inside.items()},
        "best_naive_mae": best,
    }
    rows = tuple(
        (name, f"{e.mae:.4g}", f"{e.rmse:.4g}", "–" if e.mape is None else f"{e.mape:.2%}", f"{e.smape:.2%}",
         f"{e.mase:.3f}", _covers(inside) if name == "model" else "")
        for name, e in errors.items()
    )  # fmt: skip
    return Report(
        figures=figures,
        columns=("forecast", "MAE", "RMSE", "MAPE", "sMAPE", "MASE", "coverage"),
        rows=rows,
        pictures={"forecasts.png": forecasts_png(results, truths)},
    )


def _naive_forecasts(results: Sequence[Any], truths: Sequence[Any]) -> dict[str, Array]:
    """The last value, the last season and, of series by the hour and the like, the last week."""
    past = np.stack([truth.past for truth in truths])
    horizon = len(truths[0].values)
    times = results[0].times
    step = int((times[1] - times[0]).astype(np.int64)) if horizon > 1 else 0
    day = season_of(step) if step else 1
    seasons = {"last value": 1, "seasonal naive": day}
    if step and step < 86_400:
        seasons = {"last value": 1, "seasonal naive, day": day, "seasonal naive, week": _DAYS_A_WEEK * day}
    return {
        name: seasonal_naive(past, season, horizon)
        for name, season in seasons.items()
        if season <= past.shape[1] and (season > 1 or name == "last value")
    }


def _covers(inside: dict[float, Array]) -> str:
    return ", ".join(f"{hits.mean():.1%} of {share:.0%}" for share, hits in inside.items())


def forecasts_png(results: Sequence[Any], truths: Sequence[Any]) -> bytes:
    """Some forecasts, evenly spread over the split, with what came."""
    from matplotlib.figure import Figure

    chosen = np.linspace(0, len(results) - 1, min(_SHOWN, len(results))).astype(int)
    figure = Figure(figsize=(12.0, 2.4 * -(-len(chosen) // 2)), layout="constrained")
    for axes, row in zip(np.ravel(figure.subplots(-(-len(chosen) // 2), 2)), chosen, strict=False):
        result, truth = results[row], truths[row]
        if len(result.levels) > 1:
            axes.fill_between(result.times, result.quantiles[:, 0], result.quantiles[:, -1], alpha=0.25, lw=0)
        axes.plot(result.times, result.values, label="forecast")
        axes.plot(result.times, truth.values, "k.", ms=3, label="what came")
        axes.set_title(str(result.times[0]), fontsize=9)
        axes.tick_params(axis="x", labelrotation=30, labelsize=7)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png_of(figure)
