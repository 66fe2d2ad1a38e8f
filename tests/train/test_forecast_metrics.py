"""Errors of forecasts, naive forecasts, and intervals that cover as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from sdk.results import Forecast
from train.data.series_csv import Truth
from train.forecast_metrics import errors_of, forecast_metrics, seasonal_naive
from train.forecast_report import make_forecast_report
from train.spread import fit_spread
from train.tasks.base import Split

TRUTH = np.array([[1.0, 2.0], [4.0, 8.0]])
FOUND = np.array([[2.0, 2.0], [4.0, 5.0]])
HOURS = np.datetime64("2024-01-01T00:00:00", "s") + np.arange(2) * np.timedelta64(3600, "s")


def _result(values: np.ndarray, below: float, above: float) -> Forecast:
    quantiles = np.stack([values - below, values, values + above], axis=-1).astype(np.float32)
    return Forecast("load", "kWh", HOURS, (0.1, 0.5, 0.9), quantiles, None, None, None)


def _split() -> tuple[list[Forecast], Split]:
    past = np.tile(np.arange(168.0), (2, 1))
    truths = [Truth(values, before, 2.0) for values, before in zip(TRUTH, past, strict=True)]
    results = [_result(FOUND[0], 1.5, 1), _result(FOUND[1], 1, 4)]
    return results, Split("test", [None, None], truths, (), "")


def test_errors_are_what_their_formulas_say() -> None:
    errors = errors_of(FOUND, TRUTH, naive_error=2.0)
    assert errors.mae == 1.0
    assert errors.rmse == pytest.approx(np.sqrt(10 / 4))
    assert errors.mape == pytest.approx((1 + 3 / 8) / 4)
    assert errors.smape == pytest.approx((1 / 1.5 + 3 / 6.5) / 4)
    assert errors.mase == 0.5
    assert errors_of(FOUND, np.zeros((2, 2)), 1.0).mape is None


def test_metrics_name_the_error_first_with_its_unit_and_say_where_it_should_go() -> None:
    results, split = _split()
    metrics = {metric.name: metric for metric in forecast_metrics(results, list(split.targets), "test")}
    assert list(metrics) == ["mae", "rmse", "smape", "mase", "coverage_80"]
    assert metrics["mae"].text == "1 kWh"
    assert metrics["mae"].mode == "min"
    assert metrics["mae"].low < 1.0 < metrics["mae"].high
    assert metrics["coverage_80"].value == 1.0
    assert metrics["coverage_80"].text == "100.00%"


def test_seasonal_naive_repeats_the_last_season() -> None:
    past = np.arange(6.0)[None]
    np.testing.assert_array_equal(seasonal_naive(past, 3, 5), [[3, 4, 5, 3, 4]])
    np.testing.assert_array_equal(seasonal_naive(past, 1, 2), [[5, 5]])


def test_report_sets_the_model_beside_naive_forecasts() -> None:
    results, split = _split()
    report = make_forecast_report(results, split)
    assert [row[0] for row in report.rows] == [
        "model",
        "last value",
        "seasonal naive, day",
        "seasonal naive, week",
    ]
    day = np.abs(np.array([144.0, 145.0]) - TRUTH).mean()
    assert report.figures["errors"]["seasonal naive, day"]["mae"] == pytest.approx(day)
    assert report.figures["below_naive"]["seasonal naive, day"] == pytest.approx(1 - 1 / day)
    assert report.figures["mae_by_row"] == [0.5, 1.5]
    assert report.pictures["forecasts.png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("width", [0.2, 5.0], ids=["too-narrow", "too-wide"])
def test_fitted_spread_makes_intervals_cover_as_often_as_they_say(width: float) -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(4000, 6))
    truth[truth > 0] *= 3  # skewed: each side has a width of its own
    offsets = np.array([-1.28, -0.67, 0, 3 * 0.67, 3 * 1.28]) * width
    quantiles = np.broadcast_to(offsets, (4000, 6, 5))
    spread = fit_spread(quantiles[:2000], truth[:2000], (0.1, 0.25, 0.5, 0.75, 0.9))
    assert spread[2] == 1.0
    widened = quantiles * np.array(spread)
    for at, share in ((0, 0.8), (1, 0.5)):
        inside = (widened[2000:, :, at] <= truth[2000:]) & (truth[2000:] <= widened[2000:, :, -1 - at])
        assert inside.mean() == pytest.approx(share, abs=0.03)
