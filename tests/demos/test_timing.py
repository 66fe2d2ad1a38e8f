"""Timing: real predictions, enough of them, and nothing left open."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from demos import timing
from demos.timing import PER_BLOCK, ROUNDS, Timing, time_artifacts
from runtimes import InputError
from sdk import Predictor

PICTURES = [np.full((28, 28), level, np.uint8) for level in (0, 255)]


def test_timing_counts_at_least_fifty_predictions_each(light_artifact: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(light_artifact, tmp_path / "other.onnx"))

    timings = time_artifacts([light_artifact, other], PICTURES, seed=0)

    assert set(timings) == {light_artifact, other}
    for measured in timings.values():
        assert measured.count == ROUNDS * PER_BLOCK >= 50
        assert 0 < measured.low_ms <= measured.median_ms <= measured.high_ms


def test_timing_summarises_in_milliseconds() -> None:
    assert Timing.of([0.001, 0.002, 0.003, 0.004, 0.005]) == Timing(3.0, 2.0, 4.0, 5)


def test_timing_closes_predictors_after_an_error(
    light_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Predictor] = []

    def remember(path: Path) -> Predictor:
        opened.append(Predictor(path))
        return opened[-1]

    monkeypatch.setattr(timing, "Predictor", remember)
    with pytest.raises(InputError, match="float64"):
        time_artifacts([light_artifact], [np.zeros((28, 28))], seed=0)

    with pytest.raises(Exception, match="a call after close"):
        opened[0].predict(PICTURES[0])
