"""Every general option goes through the one loop: what holds for pictures holds for texts and series too."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from safetensors.torch import load_file

from sdk.artifact import read_artifact
from tests.train.small_sequences import SMALL, small_options
from train.callbacks import EpochCheckpoint
from train.loop import TrainResult, train
from train.options import TrainOptions
from train.sampling import Draw
from train.tasks import get_task

STEPS = {"accumulate": 2, "clip_norm": 0.5, "ema": 0.9, "scheduler": "warmup-cosine", "optimizer": "adamw"}
ENDINGS = {"clip_value": 0.5, "scheduler": "plateau", "optimizer": "sgd", "precision": "bf16-mixed"}

WITHOUT_NOISE: dict[str, dict[str, Any]] = {
    "text": {"dropout": 0.0, "word_dropout": 0.0},
    "forecast": {"dropout": 0.0},
    "gpt": {"dropout": 0.0},
}
"""Options with which nothing inside a network is random, for tasks whose loss is a plain mean over items."""
ROUNDING = 1e-5
"""Means of two halves instead of one of all; 7e-7 was seen."""


class _KilledError(Exception):
    """Stands in for a kill after an epoch's checkpoint."""


def _train_killed_after(options: TrainOptions, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = EpochCheckpoint.on_train_epoch_end

    def stop(self: EpochCheckpoint, trainer: Trainer, *rest: Any) -> None:
        if trainer.current_epoch >= epochs:
            raise _KilledError
        original(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(EpochCheckpoint, "on_train_epoch_end", stop)
        with pytest.raises(_KilledError):
            train(options)


def _figures(result: TrainResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in result.history]


@pytest.mark.parametrize("task", SMALL)
def test_a_resumed_run_equals_an_unbroken_one(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**STEPS, "epochs": 3}
    whole = train(small_options(task, tmp_path / "data", tmp_path / "whole", **given))
    broken = small_options(task, tmp_path / "data", tmp_path / "broken", **given)
    _train_killed_after(broken, 1, monkeypatch)
    resumed = train(small_options(task, tmp_path / "data", broken.out, resume=True, **given))
    assert _figures(resumed) == _figures(whole)
    assert len(resumed.history) == 3
    ours, theirs = (load_file(result.checkpoint) for result in (resumed, whole))
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].numpy().tobytes() != theirs[name].numpy().tobytes()] == []


@pytest.mark.parametrize("task", SMALL)
def test_a_run_stops_early_and_is_judged(task: str, tmp_path: Path) -> None:
    """At a rate of nothing no epoch is better than the first."""
    given = {**ENDINGS, "lr": 1e-30, "weight_decay": 0.0, "early_stopping": 1, "epochs": 9}
    result = train(small_options(task, tmp_path / "data", tmp_path / "run", **given))
    assert len(result.history) < 9
    assert all(math.isfinite(entry["train_loss"]) for entry in result.history)
    assert read_artifact(result.checkpoint).manifest.evidence.metrics == result.metrics
    assert all(math.isfinite(metric.value) for metric in result.metrics)


@pytest.mark.parametrize("task", SMALL)
def test_what_is_learned_from_can_be_loaded_elsewhere(task: str, tmp_path: Path) -> None:
    """Processes that load data for several that train are sent it."""
    options = small_options(task, tmp_path / "data", tmp_path / "run")
    plan = get_task(task).plan(options)
    train_set, val, spec = pickle.loads(pickle.dumps((plan.train_set, plan.splits.val, plan.spec)))
    draw = Draw(1, 5)
    assert repr(train_set.collate([train_set[draw]])) == repr(plan.train_set.collate([plan.train_set[draw]]))
    loaded, kept = spec.input.load(val.items[0]), plan.spec.input.load(plan.splits.val.items[0])
    assert {name: array.tobytes() for name, array in loaded.arrays.items()} == {
        name: array.tobytes() for name, array in kept.arrays.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", SMALL)
def test_two_processes_train_it_as_one_does(task: str, tmp_path: Path) -> None:
    """With half the batch each. Noise differs between processes, so that it is left out where it can be."""
    given = {"epochs": 2, **WITHOUT_NOISE.get(task, {})}
    one, two = (
        train(
            small_options(task, tmp_path / "data", tmp_path / str(n), devices=n, batch_size=8 // n, **given)
        )
        for n in (1, 2)
    )
    assert len(two.history) == 2
    assert all(math.isfinite(entry["train_loss"]) for entry in two.history)
    if task in WITHOUT_NOISE:
        ours, theirs = (load_file(result.checkpoint) for result in (two, one))
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], atol=ROUNDING, rtol=ROUNDING, msg=name)
        assert [metric.value for metric in two.metrics] == pytest.approx([m.value for m in one.metrics], 1e-3)
