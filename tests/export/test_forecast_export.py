"""Forecasts in every runtime: trained, calibrated, exported, proved, and followed row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.bakers.forecast import Spread
from export.calibration import CalibrationSet, record_calls
from export.pipeline import export_artifacts
from sdk import Predictor
from sdk.artifact import PROVED
from sdk.inputs.series_table import Table, read_table
from sdk.outputs.forecast import QUANTILES, ForecastOutput
from tests.hourly_series import write_series
from train.loop import train
from train.options import make_options
from train.tasks import get_task

FP32_TOLERANCE = 1e-4
"""Relative, of every quantile."""
QUICK: dict[str, Any] = {"epochs": 1, "horizon": 4, "context": 16, "season": 8, "patch": 8, "hidden": 8,
                         "stride": 8, "batch_size": 16, "threads": 1, "device": "cpu"}  # fmt: skip


@pytest.fixture(scope="module")
def load_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("series") / "load.csv", 300)


def _exported(load_csv: Path, folder: Path, targets: list[str], **given: Any) -> list[Path]:
    checkpoint = train(make_options("forecast", load_csv, folder / "run", **QUICK, **given)).checkpoint
    exported = export_artifacts(checkpoint, targets, data=load_csv, out=folder / "out")
    assert [made.evidence.status for made in exported] == [PROVED] * len(targets)
    return [checkpoint, *(made.path for made in exported)]


def _windows(table: Table) -> list[Table]:
    return [table.part(start, start + 16) for start in range(100, 112)]


def _followed(predictor: Predictor, table: Table) -> np.ndarray:
    follower = predictor.follow(table.part(0, 100))
    rows = [{"time": table.times[at], "load": table.columns["load"][at]} for at in range(100, 110)]
    return np.stack([follower.forecast.quantiles, *(follower.update(row).quantiles for row in rows)])


def test_baked_spread_is_the_formula_of_the_host() -> None:
    quantiles = np.sort(np.random.default_rng(0).normal(size=(3, 4, 3)), axis=-1).astype(np.float32)
    output = ForecastOutput("load", "", (0.1, 0.5, 0.9), (1.7, 1.0, 0.4), (), 0)
    expected = output.activate({QUANTILES: quantiles}, ())[QUANTILES]
    baked = Spread(output.spread)
    np.testing.assert_allclose(baked(torch.from_numpy(quantiles)).numpy(), expected, atol=1e-6)
    first, second = baked((torch.from_numpy(quantiles), torch.ones(1)))
    np.testing.assert_allclose(first.numpy(), expected, atol=1e-6)
    assert second == 1


@pytest.mark.slow
def test_lstm_forecasts_and_follows_alike_in_every_runtime(load_csv: Path, tmp_path: Path) -> None:
    paths = _exported(load_csv, tmp_path, ["onnx", "pte"])
    table = read_table(load_csv, "time", ("load",))
    windows = _windows(table)
    found, followed = [], []
    for path in paths:
        with Predictor(path) as predictor:
            assert predictor.spec.baked == (() if path.suffix == ".safetensors" else ("spread",))
            found.append(predictor.outputs(windows)[QUANTILES])
            followed.append(_followed(predictor, table))
    for other in (1, 2):
        np.testing.assert_allclose(found[other], found[0], rtol=FP32_TOLERANCE)
        np.testing.assert_allclose(followed[other], followed[0], rtol=FP32_TOLERANCE)


def test_a_graph_that_no_prediction_calls_is_calibrated_with_a_carried_state(
    load_csv: Path, tmp_path: Path
) -> None:
    options = make_options("forecast", load_csv, tmp_path, **QUICK)
    plan = get_task("forecast").plan(options)
    items = _windows(read_table(load_csv, "time", ("load",)))
    recorded = record_calls(CalibrationSet("train", items, ""), plan.network.eval(), plan.spec, "step")
    states = [call["hidden"] for call in recorded.recorded]
    assert {tuple(call) for call in recorded.recorded} == {("past", "future", "hidden", "cell")}
    assert not states[0].any()
    assert all(state.any() for state in states[1:])


@pytest.mark.slow
def test_tft_forecasts_alike_in_every_runtime(load_csv: Path, tmp_path: Path) -> None:
    checkpoint, onnx, pte = _exported(load_csv, tmp_path, ["onnx", "pte"], model="tft")
    windows = _windows(read_table(load_csv, "time", ("load",)))
    with Predictor(checkpoint) as first, Predictor(onnx) as second:
        for one, other in zip(first.predict(windows), second.predict(windows), strict=True):
            np.testing.assert_allclose(other.quantiles, one.quantiles, rtol=FP32_TOLERANCE)
            np.testing.assert_allclose(other.attention, one.attention, atol=1e-5)
            assert other.variables.keys() == one.variables.keys()
        followed = _followed(second, read_table(load_csv, "time", ("load",)))
    assert np.isfinite(followed).all()
    with Predictor(checkpoint) as first, Predictor(pte) as second:
        assert second.batch_size > 1
        expected, found = first.outputs(windows), second.outputs(windows)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=FP32_TOLERANCE, atol=1e-5)
