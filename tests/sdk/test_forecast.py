"""Forecasts as output and as results."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from runtimes import EngineError, SpecError, UsageError
from sdk.outputs.forecast import QUANTILES, ForecastOutput
from sdk.results import Forecast
from tests.hourly_series import hourly_table, series_input

LEVELS = (0.1, 0.5, 0.9)


def _output(**changes: object) -> ForecastOutput:
    fields = {"target": "load", "unit": "kWh", "levels": LEVELS, "spread": (1.0, 1.0, 1.0)}
    return ForecastOutput(**{**fields, "variables": (), "parts": 0, **changes})  # type: ignore[arg-type]


def _quantiles(rows: int = 1) -> np.ndarray:
    middle = 500 + np.arange(6 * rows, dtype=np.float32).reshape(rows, 6)
    return np.stack([middle - 10, middle, middle + 20], axis=-1)


def _forecast(**changes: object) -> Forecast:
    sample = series_input().load(hourly_table(60))
    (result,) = _output(**changes).read({QUANTILES: _quantiles()}, [sample])
    return result


def test_read_gives_times_medians_and_intervals() -> None:
    result = _forecast()
    assert [str(result.times[0]), str(result.times[-1])] == ["2024-01-03T12:00:00", "2024-01-03T17:00:00"]
    np.testing.assert_array_equal(result.values, 500 + np.arange(6))
    low, high = result.interval(0.8)
    np.testing.assert_array_equal(low, 490 + np.arange(6))
    np.testing.assert_array_equal(high, 520 + np.arange(6))
    with pytest.raises(UsageError, match=r"0\.5.*\[0\.8\].*--quantiles"):
        result.interval(0.5)


def test_result_is_json_and_a_line() -> None:
    result = _forecast()
    told = json.loads(json.dumps(result.to_dict()))
    assert told["times"][0] == "2024-01-03T12:00:00"
    assert told["quantiles"]["0.9"][0] == 520
    assert result.summary() == (
        "load from 2024-01-03T12:00:00: 500, 501, 502 kWh, … (6 rows); first with 80%: 490 to 520"
    )


def test_plot_shows_past_median_and_interval() -> None:
    result = _forecast()
    picture = np.asarray(result.plot())
    assert picture.shape == (360, 960, 3)
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)[::7].tolist()}
    assert (37, 99, 235) in colours, "the medians"
    assert len(np.unique(np.asarray(replace(result, source=None).plot()))) > 1
    looked = np.full((6, 2), 0.25, np.float32)
    assert (np.asarray(replace(result, attention=looked).plot()) != picture).any()


def test_spread_widens_intervals_around_the_median_once() -> None:
    output = _output(spread=(2.0, 1.0, 0.5))
    widened = output.activate({QUANTILES: _quantiles()}, ())[QUANTILES]
    np.testing.assert_array_equal(widened[0, 0], [480, 500, 510])
    baked = output.activate({QUANTILES: widened}, ("spread",))[QUANTILES]
    np.testing.assert_array_equal(baked, widened)


def test_difference_is_a_share_of_each_forecasts_size() -> None:
    expected = _quantiles(2)
    found = expected.copy()
    found[1, 2, 0] += 5.31
    size = expected[1].max()
    assert _output().difference({QUANTILES: found}, {QUANTILES: expected}) == pytest.approx(
        5.31 / size, rel=1e-4
    )
    found[0, 0, 0] = np.nan
    assert _output().difference({QUANTILES: found}, {QUANTILES: expected}) == np.inf


def test_quantiles_that_rounding_crossed_are_put_in_order() -> None:
    sample = series_input().load(hourly_table(60))
    crossed = _quantiles()[..., [1, 0, 2]]
    (result,) = _output().read({QUANTILES: crossed}, [sample])
    assert (np.diff(result.quantiles, axis=1) >= 0).all()


def test_numbers_that_are_none_are_an_engine_error() -> None:
    sample = series_input().load(hourly_table(60))
    broken = _quantiles()
    broken[0, 3, 1] = np.nan
    with pytest.raises(EngineError, match="NaN"):
        _output().read({QUANTILES: broken}, [sample])


@pytest.mark.parametrize(
    "changes",
    [{"levels": (0.1, 0.9)}, {"levels": (0.2, 0.5, 0.9)}, {"levels": (0.5, 0.1, 0.9)}, {"spread": (1.0,)}],
    ids=["no-median", "not-symmetric", "not-rising", "spread"],
)
def test_specs_that_make_no_sense_are_refused(changes: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(SpecError, match=r"spec\.output\."):
        _output(**changes)
