"""A series divided by time: windows that never see what comes after them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtimes import Array, DataError
from sdk.inputs.series_table import Table
from tests.hourly_series import hourly_table, series_input
from train.data.series_csv import Division, SeriesData, season_of, seasonal_naive_error
from train.data.series_train_set import SeriesTrainSet, fit_scale
from train.networks.lstm_forecaster import LstmForecaster
from train.networks.series_blocks import SeriesShape
from train.sampling import Draw
from train.tasks.forecast_plan import fit_scalers

ROWS, VAL, TEST = 400, 60, 100
TRAIN_END = ROWS - VAL - TEST


def _written(path: Path, load: Array) -> Path:
    path.write_bytes(Table(hourly_table(len(load)).times, {"load": load}).to_csv("time"))
    return path


def _data(path: Path, division: Division | None = None) -> SeriesData:
    return SeriesData(path, series_input(), division or Division(VAL, TEST))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SeriesData, SeriesData]:
    """Two series that are equal up to the end of the training rows and very different behind it."""
    load = hourly_table(ROWS).columns["load"]
    other = load.copy()
    other[TRAIN_END:] = 1e6 - 50 * other[TRAIN_END:]
    return _data(_written(tmp_path / "a.csv", load)), _data(_written(tmp_path / "b.csv", other))


def _require_blind(pair: tuple[SeriesData, SeriesData], scale: Callable[[SeriesData], Any]) -> None:
    """What training learns from, scaler and windows, must not depend on what came later."""
    for first, second in zip(*map(scale, pair), strict=True):
        np.testing.assert_array_equal(first, second)
    sets = [SeriesTrainSet(data) for data in pair]
    batches = [s.collate([s[Draw(at, 0)] for at in range(len(s))]) for s in sets]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one, other)


def _scale_of_run(data: SeriesData) -> list[Array]:
    """Mean and deviation in the network that a run would start with."""
    network = LstmForecaster(SeriesShape(12, 12, 48, 6, 3, 24), 24, hidden=4, layers=1, dropout=0.0)
    fit_scalers(network, data.series, SeriesTrainSet(data))
    return [array.numpy() for array in (network.past_scaler.mean, network.past_scaler.scale)]


def _scale_of_everything(data: SeriesData) -> tuple[Array, Array]:
    return fit_scale(data.series.past_rows(data.table), 1)


def test_training_does_not_see_the_future(pair: tuple[SeriesData, SeriesData]) -> None:
    _require_blind(pair, _scale_of_run)
    load = pair[0].train_table.columns["load"]
    np.testing.assert_allclose(_scale_of_run(pair[0])[0][0], load.mean(), rtol=1e-6)


def test_a_scaler_that_saw_the_future_is_noticed(pair: tuple[SeriesData, SeriesData]) -> None:
    with pytest.raises(AssertionError):
        _require_blind(pair, _scale_of_everything)


def test_a_window_that_reaches_into_the_future_is_noticed(pair: tuple[SeriesData, SeriesData]) -> None:
    for data in pair:
        data.ranges["train"] = (0, TRAIN_END + 1)
    with pytest.raises(AssertionError):
        _require_blind(pair, lambda _: ())


def test_parts_forecast_rows_of_their_own_in_the_order_of_time(pair: tuple[SeriesData, SeriesData]) -> None:
    data = pair[0]
    rows = {
        name: [row for origin in data.origins(name) for row in range(origin, origin + 6)]
        for name in ("train", "val", "test")
    }
    assert max(rows["train"]) < min(rows["val"]) <= max(rows["val"]) < min(rows["test"])
    assert len(set(rows["test"])) == len(rows["test"]), "each row is forecast once"
    assert max(rows["train"]) == TRAIN_END - 1
    assert min(rows["val"]) == TRAIN_END


def test_items_hold_nothing_of_the_future_but_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_bytes(hourly_table(ROWS).to_csv("time"))
    data = SeriesData(path, series_input(known=("warm",)), Division(VAL, TEST))
    split = data.split("test")
    window, truth = split.items[0], split.targets[0]
    assert np.isnan(window.columns["load"][48:]).all()
    assert not np.isnan(window.columns["load"][:48]).any()
    np.testing.assert_array_equal(window.columns["warm"][48:], data.table.columns["warm"][300:306])
    np.testing.assert_array_equal(truth.values, data.table.columns["load"][300:306])
    np.testing.assert_array_equal(truth.past, data.table.columns["load"][252:300])
    assert len(split.items[2:5]) == 3


def test_training_batches_are_what_the_spec_feeds(pair: tuple[SeriesData, SeriesData]) -> None:
    data = pair[0]
    train_set, split = SeriesTrainSet(data), data.split("train")
    past, future, target = train_set.collate([train_set[Draw(at, 0)] for at in (0, 17)])
    samples = [data.series.load(split.items[at]) for at in (0, 17)]
    arrays = data.series.batch(samples, ())
    np.testing.assert_array_equal(past.numpy(), arrays["past"])
    np.testing.assert_array_equal(future.numpy(), arrays["future"])
    np.testing.assert_allclose(target.numpy(), [split.targets[at].values for at in (0, 17)], rtol=1e-6)


def test_scale_leaves_the_calendar_and_constants_alone() -> None:
    values = np.array([[1, 5, 0.5], [3, 5, -0.5]], np.float32)
    mean, scale = fit_scale(values, 2)
    np.testing.assert_allclose(mean, [2, 5, 0])
    np.testing.assert_allclose(scale, [1, 1, 1])


@pytest.mark.parametrize(
    ("division", "message"),
    [
        (Division(VAL, 380), "part 'train'.*0 of 400 rows.*at least 54"),
        (Division(5, TEST), "part 'val'.*5 of 400 rows.*at least 6"),
        (Division(VAL, 5), "part 'test'.*5 of 400 rows.*at least 6.*--horizon"),
    ],
    ids=["train", "val", "test"],
)
def test_a_horizon_longer_than_the_data_is_refused(tmp_path: Path, division: Division, message: str) -> None:
    path = _written(tmp_path / "a.csv", hourly_table(ROWS).columns["load"])
    with pytest.raises(DataError, match=message):
        _data(path, division)


def test_without_test_rows_there_is_no_test_split(tmp_path: Path) -> None:
    data = _data(_written(tmp_path / "a.csv", hourly_table(ROWS).columns["load"]), Division(VAL, 0))
    assert not data.has_test
    with pytest.raises(DataError, match="--test-rows"):
        data.split("test")


def test_folds_are_blocks_of_time_that_learn_from_what_was_before(tmp_path: Path) -> None:
    path = _written(tmp_path / "a.csv", hourly_table(ROWS).columns["load"])
    parts = [_data(path, Division(VAL, TEST, fold=(at, 3))).ranges for at in (1, 2, 3)]
    assert [part["train"] for part in parts] == [(0, 75), (0, 150), (0, 225)]
    assert [part["val"] for part in parts] == [(75, 150), (150, 225), (225, 300)]
    assert {part["test"] for part in parts} == {(300, 400)}


def test_hash_tells_whether_a_part_changed(pair: tuple[SeriesData, SeriesData]) -> None:
    first, second = pair
    assert first.split("train").sha256 == second.split("train").sha256
    assert first.split("test").sha256 != second.split("test").sha256


@pytest.mark.parametrize(("step_s", "season"), [(3600, 24), (900, 96), (86400, 7), (604800, 1), (7000, 1)])
def test_season_is_a_day_or_of_days_a_week(step_s: int, season: int) -> None:
    assert season_of(step_s) == season


def test_seasonal_naive_error_is_the_mean_difference_a_season_apart() -> None:
    assert seasonal_naive_error(np.array([1.0, 2, 4, 8]), 2) == 4.5
