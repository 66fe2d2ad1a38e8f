"""Task ``forecast``: options, plan, runs, and series that grow row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import DataError, InputError, UsageError
from sdk import Predictor, read_artifact
from sdk.inputs.series import SeriesInput
from sdk.inputs.series_table import Table, read_table
from sdk.outputs.forecast import ForecastOutput
from tests.hourly_series import hourly_table, write_series
from train.folds import folded, folded_as
from train.loop import train
from train.options import TrainOptions, make_options
from train.tasks import get_task, task_of
from train.tasks.base import Fold

ROWS = 600
QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "horizon": 6,
    "context": 48,
    "hidden": 8,
    "threads": 1,
    "device": "cpu",
    "unit": "kWh",
}
SAME = 1e-4
"""Relative: the same network, with its state carried on or begun anew."""


@pytest.fixture(scope="module")
def load_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("series") / "load.csv", ROWS, columns=("load", "warm"))


@pytest.fixture
def quick_forecast(load_csv: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    """Options of a run of a second or two."""

    def options(**given: Any) -> TrainOptions:
        data, out = given.pop("data", load_csv), given.pop("out", tmp_path / "run")
        return make_options("forecast", data, out, **{**QUICK, "target": "load", **given})

    return options


@pytest.fixture(scope="module")
def checkpoint(load_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = make_options("forecast", load_csv, tmp_path_factory.mktemp("lstm"), **QUICK, target="load")
    return train(options).checkpoint


def test_defaults_come_from_the_steps_of_the_series(load_csv: Path) -> None:
    plan = get_task("forecast").plan(make_options("forecast", load_csv, target="load", context=72))
    series = plan.spec.input
    assert isinstance(series, SeriesInput)
    assert (series.time, series.horizon, series.step_s) == ("time", 24, 3600)
    assert series.calendar == ("hour", "weekday")
    assert plan.spec.network.arguments["season"] == plan.spec.network.arguments["patch"] == 24
    assert [graph.name for graph in plan.spec.graphs] == ["main", "step"]


def test_run_judges_forecasts_beside_naive_ones(quick_forecast: Callable[..., TrainOptions]) -> None:
    options = quick_forecast(epochs=6, lr=5e-3, hidden=16)
    result = train(options)
    figures = json.loads((options.out / "metrics.json").read_text())
    assert [metric.name for metric in result.metrics] == ["mae", "rmse", "smape", "mase", "coverage_80"]
    assert figures["below_naive"]["seasonal naive, day"] > 0, "better than yesterday again"
    assert (options.out / "forecasts.png").is_file()
    output = read_artifact(result.checkpoint).spec.output
    assert isinstance(output, ForecastOutput)
    assert output.unit == "kWh"
    assert output.spread[0] == output.spread[2] != 1.0


def test_networks_take_covariates_and_more_levels(quick_forecast: Callable[..., TrainOptions]) -> None:
    options = quick_forecast(
        model="tft",
        known=("warm",),
        quantiles=(0.05, 0.25, 0.5, 0.75, 0.95),
        epochs=1,
        stride=20,
        spread="none",
    )
    path = train(options).checkpoint
    table = hourly_table(ROWS)
    table.columns["load"][560:] = np.nan
    with Predictor(path) as predictor:
        result = predictor.predict(table)
        assert set(predictor.spec.output.spread) == {1.0}  # type: ignore[attr-defined]
        assert predictor.verify().holds
    assert result.quantiles.shape == (6, 5)
    assert result.attention.shape == (6, 2)
    assert sum(share for name, share in result.variables.items() if name.startswith("past")) == pytest.approx(
        1
    )
    assert "known: warm" in result.variables
    assert str(result.times[0]) == str(table.times[560])


def test_checkpoint_divides_the_series_as_its_run_did(
    quick_forecast: Callable[..., TrainOptions], load_csv: Path
) -> None:
    result = train(quick_forecast(epochs=1, test_rows=50, val_rows=40, stride=5))
    artifact = read_artifact(result.checkpoint)
    task = task_of(artifact)
    split = task.load_split(load_csv, task.proof_split(load_csv), artifact.spec)
    assert split.name == "test"
    assert len(split) == result.metrics[0].samples == (50 - 6) // 6 + 1
    assert split.sha256 == artifact.manifest.evidence.facts["data_sha256"]["test"]


def test_a_fold_trains_on_its_block_and_says_so(
    quick_forecast: Callable[..., TrainOptions], load_csv: Path
) -> None:
    options = quick_forecast(stride=5)
    task = folded(get_task("forecast"), Fold(2, 3))
    plan = task.plan(options)
    facts = plan.facts
    assert (facts["division"]["fold"], facts["fold"]) == ((2, 3), {"at": 2, "of": 3})
    assert len(plan.splits.train) == (2 * 120 - 48 - 6) // 5 + 1
    again = folded_as(get_task("forecast"), facts).as_trained(facts)
    assert again.load_split(load_csv, "val", plan.spec).sha256 == plan.splits.val.sha256


def test_without_test_rows_the_validation_rows_judge(quick_forecast: Callable[..., TrainOptions]) -> None:
    assert {metric.split for metric in train(quick_forecast(epochs=1, test_rows=0)).metrics} == {"val"}


def test_training_goes_on_from_a_checkpoint(
    checkpoint: Path, quick_forecast: Callable[..., TrainOptions], load_csv: Path, tmp_path: Path
) -> None:
    given = {"epochs": 1, "threads": 1, "device": "cpu"}
    result = train(make_options("forecast", load_csv, tmp_path / "on", start=checkpoint, **given))
    assert read_artifact(result.checkpoint).spec.input == read_artifact(checkpoint).spec.input
    with pytest.raises(UsageError, match="--from and --horizon"):
        make_options("forecast", load_csv, tmp_path / "no", start=checkpoint, horizon=3, **given)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"target": None}, DataError, "'time', 'load', 'warm'.*one to forecast.*--target"),
        ({"target": "absent"}, InputError, "a column 'absent'"),
        ({"horizon": 200}, DataError, "part 'val'.*60 of 600 rows.*at least 200"),
        ({"patch": 7}, UsageError, "--patch.*7 in a context of 48 rows.*divides it"),
        ({"quantiles": (0.1, 0.5)}, UsageError, "--quantiles"),
        ({"model": "compact_cnn"}, UsageError, "--model.*lstm_forecaster, tft"),
        ({"model": "tft", "hidden": 10}, UsageError, "--hidden.*multiple of 4"),
        ({"calendar": ("none", "hour")}, UsageError, "--calendar"),
    ],
    ids=["target", "column", "horizon", "patch", "quantiles", "model", "heads", "calendar"],
)
def test_options_that_do_not_fit_are_one_line(
    quick_forecast: Callable[..., TrainOptions], given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        get_task("forecast").plan(quick_forecast(**given))
    assert "\n" not in str(raised.value)


def test_a_followed_series_forecasts_as_its_whole_history_does(checkpoint: Path, load_csv: Path) -> None:
    table = read_table(load_csv, "time", ("load",))
    with Predictor(checkpoint) as predictor:
        follower = predictor.follow(table.part(0, 120))
        np.testing.assert_array_equal(follower.forecast.values, predictor.predict(table.part(0, 120)).values)
        for at in range(120, 140):
            forecast = follower.update(_row(table, at))
            whole = predictor.predict(table.part(0, at + 1))
            assert str(forecast.times[0]) == str(whole.times[0])
            if at < 120 + 24:  # until a state has seen more than a context
                np.testing.assert_allclose(forecast.quantiles, whole.quantiles, rtol=SAME)
        assert follower.forecast is forecast


def test_carried_state_remembers_what_the_context_forgot(checkpoint: Path, load_csv: Path) -> None:
    table = read_table(load_csv, "time", ("load",))
    with Predictor(checkpoint) as predictor:
        follower = predictor.follow(table.part(0, 120))
        for at in range(120, 180):
            carried = follower.update(_row(table, at))
        whole = predictor.predict(table.part(0, 180))
    assert not np.array_equal(carried.quantiles, whole.quantiles)
    np.testing.assert_allclose(carried.values, whole.values, rtol=0.1)


def test_rows_that_do_not_follow_are_refused(checkpoint: Path, load_csv: Path) -> None:
    table = read_table(load_csv, "time", ("load",))
    with Predictor(checkpoint) as predictor:
        follower = predictor.follow(table.part(0, 60))
        for at, message in ((59, "0 s behind"), (62, "10800 s behind.*2024-01-03T12:00:00")):
            with pytest.raises(InputError, match=message):
                follower.update(_row(table, at))
        with pytest.raises(InputError, match="nan in 'load'"):
            follower.update({"time": str(table.times[60]), "load": float("nan")})
        with pytest.raises(InputError, match="a column 'load'"):
            follower.update({"time": str(table.times[60])})
        with pytest.raises(InputError, match="at least 48"):
            predictor.follow(table.part(0, 40))
        follower.update(_row(table, 60))


def test_known_columns_are_followed_and_small_gaps_filled(
    quick_forecast: Callable[..., TrainOptions],
) -> None:
    path = train(quick_forecast(known=("warm",), fill=2, epochs=1, stride=20)).checkpoint
    table = hourly_table(ROWS)
    history = table.part(0, 106)
    history = Table(history.times, {**history.columns, "load": history.columns["load"].copy()})
    history.columns["load"][100:] = np.nan
    with Predictor(path) as predictor:
        follower = predictor.follow(history)
        known = {"warm": table.columns["warm"][102:108]}
        with pytest.raises(InputError, match="'warm'.*6 finite ones"):
            follower.update(_row(table, 101))
        forecast = follower.update(_row(table, 101), known)  # row 100 is missing
    assert str(forecast.times[0]) == str(table.times[102])


def _row(table: Table, at: int) -> dict[str, Any]:
    return {"time": table.times[at], **{name: values[at] for name, values in table.columns.items()}}
