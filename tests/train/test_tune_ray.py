"""Ray Tune as the engine: the same study, trials, pruning and report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train.small_data import SIDE_PX
from train.tune import Search

pytest.importorskip("ray.tune", reason="Ray is not installed")

# Ray leaves sockets and files to the interpreter's end, and imports modules that warn of themselves.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def test_ray_carries_out_the_trials_of_a_study(colour_folder: Path, tmp_path: Path) -> None:
    from train.tune_ray import tune_with_ray

    given = {"epochs": 2, "batch_size": 8, "image_size": SIDE_PX, "threads": 1, "device": "cpu"}
    search = Search("product", colour_folder, tmp_path, given, ("lr=log:1e-4..1e-1",), trials=3)
    lines: list[str] = []
    tuned = tune_with_ray(search, workers=2, say=lines.append)
    assert [trial.state.name for trial in tuned.trials] == ["COMPLETE"] * 3
    assert tuned.best is not None and tuned.checkpoint is not None and tuned.checkpoint.is_file()
    assert all(list(trial.intermediate_values) == [1, 2] for trial in tuned.trials)
    told = json.loads((tmp_path / "tune.json").read_text())
    assert told["best"]["value"] == tuned.best.value
    assert not (tmp_path / "ray").exists()
