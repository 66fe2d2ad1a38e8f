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


def test_study_answers_ray_as_it_answers_its_own_processes(colour_folder: Path, tmp_path: Path) -> None:
    from ray import cloudpickle
    from ray.tune.search import Searcher

    from train.tune import Tuner
    from train.tune_ray import _Bridge, _Scheduler

    search = Search("product", colour_folder, tmp_path, {"epochs": 2}, ("lr=log:1e-4..1e-1",), trials=3)
    tuner = Tuner(search)
    bridge = _Bridge(tuner)
    cloudpickle.dumps((bridge, _Scheduler(bridge)))  # Ray keeps a copy of both
    told = {name: bridge.suggest(name) for name in ("a", "b", "c")}
    assert [one["number"] for one in told.values()] == [0, 1, 2]
    assert told["a"]["options"].lr == 5e-3 and told["a"]["options"].out == tmp_path / "trial-0001"
    assert bridge.suggest("d") is None  # all are begun
    assert not bridge.falls_behind("a", {"value": 0.5, "step": 1})
    bridge.on_trial_complete("a", {"value": 0.9, "final": True})
    bridge.on_trial_complete("b", {"value": 0.0, "failure": "out of memory"})
    bridge.on_trial_complete("c", {"value": 0.1, "step": 1})  # ended early
    assert bridge.suggest("e") == Searcher.FINISHED
    found = tuner.tell()
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "FAIL", "PRUNED"]
    assert found.best is not None and found.best.value == 0.9
    tuner.study.close()


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
