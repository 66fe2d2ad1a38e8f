"""Several processes that train together are one run: the same network, figures and files, and one ending."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from runtimes import DataError, DeviceError, UsageError
from tests.train.process_work import children_of, is_running, wait_until
from tests.train.small_data import SIDE_PX
from tests.train.world_work import agree, fail, vanish
from train.checkpoint_io import SafetensorsCheckpointIO
from train.loop import TrainResult, train
from train.options import TrainOptions
from train.processes import run_in_processes

Options = Callable[..., TrainOptions]

ROUNDING = 2e-4
"""Means of two halves instead of one of all, and what a few optimiser steps make of the last bit: Adam
divides small gradients by their own size."""
PATIENCE_S = 300


def _require_alike(left: TrainResult, right: TrainResult) -> None:
    ours, theirs = load_file(left.checkpoint), load_file(right.checkpoint)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        np.testing.assert_allclose(tensor, theirs[name], atol=ROUNDING, rtol=ROUNDING, err_msg=name)
    assert left.best_epoch == right.best_epoch
    assert left.metrics == right.metrics
    for ours_, theirs_ in zip(left.history, right.history, strict=True):
        figures = [{k: v for k, v in entry.items() if k != "seconds"} for entry in (ours_, theirs_)]
        assert figures[0] == pytest.approx(figures[1], abs=1e-3)


def test_two_processes_are_one_with_the_double_batch(quick: Options, tmp_path: Path) -> None:
    given = {"epochs": 2, "augment": ("flip", "shift"), "lr": 3e-3, "ema": 0.9, "clip_norm": 1.0}
    one = train(quick(out=tmp_path / "one", batch_size=16, **given))
    lines: list[str] = []
    two = train(quick(out=tmp_path / "two", batch_size=8, devices=2, **given), say=lines.append)
    _require_alike(two, one)
    assert "batches of 8 in each of 2 processes" in lines[0]
    assert sum(line.startswith("epoch 1/2") for line in lines) == 1
    assert _names(tmp_path / "two") == _names(tmp_path / "one")


def _names(folder: Path) -> list[str]:
    return sorted("events" if "tfevents" in path.name else path.name for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"accumulate": 2, "weighted_sampling": True, "optimizer": "sgd"},
        {"scheduler": "plateau", "num_workers": 1, "clip_value": 0.5},
        {"early_stopping": 1, "scheduler": "none", "epochs": 6},
    ],
    ids=lambda given: next(iter(given)),
)
def test_options_mean_the_same_in_two_processes(
    quick: Options, tmp_path: Path, given: dict[str, Any]
) -> None:
    given = {"epochs": 2, "lr": 3e-3, **given}
    one = train(quick(out=tmp_path / "one", batch_size=16, **given))
    _require_alike(train(quick(out=tmp_path / "two", batch_size=8, devices=2, **given)), one)


@pytest.mark.slow
def test_without_exchange_each_normalises_for_itself(quick: Options, tmp_path: Path) -> None:
    one = train(quick(out=tmp_path / "one", batch_size=16))
    two = train(quick(out=tmp_path / "two", batch_size=8, devices=2, local_batchnorm=True))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        _require_alike(two, one)


@pytest.mark.slow
def test_a_resumed_run_equals_an_unbroken_one(quick: Options, tmp_path: Path) -> None:
    given = {"devices": 2, "scheduler": "none", "augment": ("flip", "shift")}
    whole = train(quick(out=tmp_path / "whole", epochs=3, **given))
    train(quick(out=tmp_path / "broken", epochs=2, **given))
    resumed = train(quick(out=tmp_path / "broken", epochs=3, resume=True, **given))
    _require_alike(resumed, whole)
    with pytest.raises(UsageError, match="--resume with --devices: got 1, expected 2"):
        train(
            quick(out=tmp_path / "broken", epochs=3, resume=True, scheduler="none", augment=("flip", "shift"))
        )


@pytest.mark.slow
def test_a_picture_that_one_cannot_read_ends_all_with_its_name(
    quick: Options, colour_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(colour_folder, tmp_path / "data"))
    path = data / "red" / "003.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"Picture red/003\.png: got a damaged image"):
        train(quick(data=data, augment=("resized-crop",), devices=2))


@pytest.mark.slow
def test_what_all_refuse_is_said_once_and_nothing_written(quick: Options, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="Data 'empty'"):
        train(quick(data=tmp_path / "empty", devices=2))
    assert not quick().out.exists()


def test_a_machine_without_so_many_gpus_is_refused(quick: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(DeviceError, match="--devices: got 2, expected at most the 1 GPUs"):
        train(quick(device="gpu", devices=2))
    assert not quick().out.exists()


def test_options_that_one_process_needs_are_refused(quick: Options) -> None:
    with pytest.raises(UsageError, match="--devices: got 0"):
        quick(devices=0)
    with pytest.raises(UsageError, match="--devices: got 2 in a search"):
        train(quick(devices=2), watch=lambda entry: None)


def test_a_run_recorded_before_there_was_an_option_can_be_resumed(quick: Options) -> None:
    train(quick(scheduler="none", epochs=1))
    record = quick().out / "run.json"
    told = json.loads(record.read_text())
    del told["options"]["devices"], told["options"]["local_batchnorm"]
    record.write_text(json.dumps(told))
    assert len(train(quick(scheduler="none", epochs=2, resume=True)).history) == 2


# --- what processes agree on ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "whole"),
    [(7, [f"{at % 3}:{at}" for at in range(7)]), (2, ["0:0", "0:1"])],
    ids=["in parts", "too few to divide"],
)
def test_results_come_together_in_order_and_once(count: int, whole: list[str]) -> None:
    found = run_in_processes(3, agree, (count,), None)
    assert found["whole"] == whole
    assert (found["told"], found["own"]) == ("said by 0", 0)
    assert found["pid"] != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "alike"), [(0, True), (1, True), (0, False)], ids=str)
def test_a_failure_of_one_ends_all_with_its_line(rank: int, alike: bool) -> None:
    with pytest.raises(DataError, match="Data 'x': got nothing"):
        run_in_processes(2, fail, (rank, alike), None)


@pytest.mark.slow
def test_one_that_leaves_is_missed() -> None:
    with pytest.raises(DeviceError, match="Training process 1 of 2: got no answer from another process"):
        run_in_processes(2, vanish, (), None)


# --- endings, through the command -------------------------------------------------------------------------


@contextmanager
def _command(data: Path, out: Path, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in two processes that would take hours, after its first epoch's checkpoint."""
    hearing = ["env", "--default-signal=INT"] if sys.platform == "linux" else []
    words = [*hearing, sys.executable, "-m", "sdk.command", "train", "product", "--data", str(data)]
    words += ["--out", str(out), "--epochs", "100000", "--batch-size", "4", "--image-size", str(SIDE_PX)]
    words += ["--threads", "1", "--device", "cpu", "--devices", "2"]
    # Not in this process group: a Ctrl-C is for the whole one of a terminal.
    process = subprocess.Popen(
        words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        begun = wait_until((out / "checkpoints" / "last.safetensors").is_file, PATIENCE_S)
        assert begun, process.poll()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["a process", "Ctrl-C"])
def test_an_interrupted_run_leaves_neither_processes_nor_half_files(
    victim: str, colour_folder: Path, tmp_path: Path, root: Path
) -> None:
    out = tmp_path / "run"
    with _command(colour_folder, out, root) as process:
        workers = [child for child in children_of(process.pid) if child != process.pid]
        if victim == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(workers[-1], signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_S)
    if victim == "Ctrl-C":
        assert (process.returncode, said) == (130, "edgewright: interrupted.\n")
    else:
        assert process.returncode == 2, said
        assert said.count("\n") == 1, said
        assert "of 2: got killed by SIGKILL" in said
    assert len(workers) >= 2
    assert wait_until(lambda: not any(map(is_running, workers)), PATIENCE_S)
    assert not list(out.rglob("*.part"))
    state = SafetensorsCheckpointIO().load_checkpoint(out / "checkpoints" / "last.safetensors")
    assert state["epoch"] >= 0


@pytest.mark.slow
def test_torchrun_trains_the_same(colour_folder: Path, tmp_path: Path, root: Path, quick: Options) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += ["-m", "sdk.command", "train", "product", "--data", str(colour_folder), "--out"]
    options = ["--epochs", "2", "--batch-size", "8", "--lr", "0.001", "--image-size", str(SIDE_PX)]
    options += ["--threads", "1", "--device", "cpu"]
    done = subprocess.run(
        [*words, str(tmp_path / "torchrun"), *options], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint: ") == 1
    ours = train(quick(devices=2))
    theirs = load_file(tmp_path / "torchrun" / "product.safetensors")
    for name, tensor in load_file(ours.checkpoint).items():
        np.testing.assert_allclose(tensor, theirs[name], atol=ROUNDING, rtol=ROUNDING, err_msg=name)
