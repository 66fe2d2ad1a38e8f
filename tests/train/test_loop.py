"""The loop: what a run writes, that two are equal, and that a broken one ends like an unbroken one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from runtimes import ArtifactError, DataError, DeviceError, UsageError
from sdk import Predictor
from sdk.artifact import TRAINED, Metric, read_artifact
from tests.train.small_data import CLASSES, write_idx_folder
from train.callbacks import EpochCheckpoint
from train.loop import TrainResult, train
from train.options import TrainOptions, make_options
from train.tasks import get_task
from train.tasks.product import ProductTask

Options = Callable[..., TrainOptions]


class _KilledError(Exception):
    """Stands in for a kill after an epoch's checkpoint."""


def _train_killed_after(options: TrainOptions, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until `epochs` are complete, then break off inside the next one."""
    original = EpochCheckpoint.on_train_epoch_end

    def stop(self: EpochCheckpoint, trainer: lightning.Trainer, *rest: Any) -> None:
        if trainer.current_epoch >= epochs:
            raise _KilledError
        original(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(EpochCheckpoint, "on_train_epoch_end", stop)
        with pytest.raises(_KilledError):
            train(options)


def _weights(result: TrainResult) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.numpy() for name, tensor in load_file(result.checkpoint).items()}


def _last_weights(options: TrainOptions) -> dict[str, np.ndarray[Any, Any]]:
    """Of the last epoch, with the optimiser's state: what the next one would start from."""
    tensors = load_file(options.out / "checkpoints" / "last.safetensors")
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _assert_equal(left: dict[str, np.ndarray[Any, Any]], right: dict[str, np.ndarray[Any, Any]]) -> None:
    assert set(left) == set(right)
    different = [name for name in left if left[name].tobytes() != right[name].tobytes()]
    assert different == []


def _without_time(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


@pytest.fixture(scope="module")
def finished(colour_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run that has learned to tell three colours apart. Read only."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return train(
        make_options("product", colour_folder, out, epochs=6, batch_size=8, lr=1e-2, image_size=16, threads=1,
                     augment=("flip",), device="cpu")
    )  # fmt: skip


def test_run_learns(finished: TrainResult) -> None:
    assert finished.metrics[0].name == "accuracy"
    assert finished.metrics[0].value == 1.0
    assert finished.history[-1]["train_loss"] < finished.history[0]["train_loss"]


def test_run_writes_its_folder(finished: TrainResult) -> None:
    names = {path.name for path in finished.checkpoint.parent.iterdir()}
    assert names == {
        "product.safetensors", "metrics.json", "confusion_matrix.png", "curves.png", "run.json",
        "checkpoints", "logs",
    }  # fmt: skip
    assert list((finished.checkpoint.parent / "logs").glob("events.out.tfevents.*"))


def test_run_writes_an_artifact_that_predicts(finished: TrainResult, colour_folder: Path) -> None:
    with Predictor(finished.checkpoint) as predictor:
        results = predictor.predict([colour_folder / label / "001.png" for label in CLASSES])
        assert [result.label for result in results] == list(CLASSES)
        assert predictor.verify().holds


def test_run_records_its_evidence(finished: TrainResult) -> None:
    manifest = read_artifact(finished.checkpoint).manifest
    evidence = manifest.evidence
    assert evidence.status == TRAINED
    assert evidence.metrics == finished.metrics
    assert evidence.precision["weights"]["float32"] > 1000
    assert {"torch", "lightning", "numpy"} <= set(evidence.tools)
    assert evidence.facts["best_epoch"] == finished.best_epoch
    assert len(manifest.samples) == 6  # the held-out pictures are fewer than the usual eight
    assert manifest.spec.input.channels == "rgb"


def test_run_reports_figures(finished: TrainResult) -> None:
    figures = json.loads((finished.checkpoint.parent / "metrics.json").read_text())
    assert figures["labels"] == list(CLASSES)
    assert figures["confusion_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert [entry["epoch"] for entry in figures["history"]] == list(range(1, 7))
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds"} <= set(
        figures["history"][0]
    )
    assert figures["history"] == finished.history


def test_run_writes_pictures_that_open(finished: TrainResult) -> None:
    for name in ("confusion_matrix.png", "curves.png"):
        with Image.open(finished.checkpoint.parent / name) as image:
            assert image.width > 300


def test_accuracy_after_training_is_what_predictor_gives(finished: TrainResult, colour_folder: Path) -> None:
    task = get_task("product")
    split = task.load_split(colour_folder, "val", finished_spec := read_artifact(finished.checkpoint).spec)
    with Predictor(finished.checkpoint) as predictor:
        assert task.measure(predictor.predict(list(split.items)), split) == finished.metrics
    assert finished_spec.output.labels == CLASSES


def test_two_runs_are_equal_to_the_bit(quick: Options, tmp_path: Path) -> None:
    first = train(quick(out=tmp_path / "a", augment=("flip", "shift", "colour-jitter")))
    second = train(quick(out=tmp_path / "b", augment=("flip", "shift", "colour-jitter")))
    _assert_equal(_weights(first), _weights(second))
    assert _without_time(first.history) == _without_time(second.history)


def test_another_seed_gives_another_run(quick: Options, tmp_path: Path) -> None:
    first, second = (train(quick(out=tmp_path / str(seed), seed=seed, epochs=1)) for seed in (0, 1))
    assert _without_time(first.history) != _without_time(second.history)


def test_worker_processes_change_nothing(quick: Options, tmp_path: Path) -> None:
    runs = [
        train(quick(out=tmp_path / str(n), num_workers=n, augment=("resized-crop", "flip"))) for n in (0, 2)
    ]
    _assert_equal(_weights(runs[0]), _weights(runs[1]))


@pytest.mark.parametrize(
    "given",
    [
        {"scheduler": "one-cycle"},
        {"scheduler": "step", "lr_step_epochs": 1, "optimizer": "sgd"},
        {"scheduler": "plateau", "optimizer": "rmsprop", "momentum": 0.5},
        {"scheduler": "warmup-cosine", "early_stopping": 3, "weighted_sampling": True, "clip_value": 0.1},
        {"scheduler": "cyclic", "accumulate": 2, "optimizer": "adam"},
        {"scheduler": "exponential", "ema": 0.9},
    ],
    ids=lambda given: given["scheduler"],
)
def test_resumed_run_equals_an_unbroken_one(
    quick: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    given = {"epochs": 4, "augment": ("flip", "shift"), "lr": 3e-3, **given}
    whole, broken = quick(out=tmp_path / "whole", **given), quick(out=tmp_path / "broken", **given)
    unbroken = train(whole)
    _train_killed_after(broken, 2, monkeypatch)
    assert not (broken.out / "product.safetensors").exists()
    resumed = train(quick(out=broken.out, resume=True, **given))
    assert _without_time(resumed.history) == _without_time(unbroken.history)
    assert resumed.best_epoch == unbroken.best_epoch
    _assert_equal(_last_weights(broken), _last_weights(whole))
    _assert_equal(_weights(resumed), _weights(unbroken))


@pytest.fixture
def no_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch scores the same, so that all but the first are without gain."""
    metric = Metric("accuracy", 0.5, 0.4, 0.6, 6, "val")
    monkeypatch.setattr(ProductTask, "measure", lambda self, results, split: (metric,))


@pytest.mark.usefixtures("no_gain")
def test_plateau_lowers_the_rate_within_a_run(quick: Options) -> None:
    history = train(quick(scheduler="plateau", lr=1e-3, epochs=6, lr_gamma=0.5)).history
    assert [entry["lr"] for entry in history] == pytest.approx([1e-3] * 5 + [5e-4])


def test_resuming_before_the_first_checkpoint_starts_over(
    quick: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    _train_killed_after(quick(), 0, monkeypatch)
    result = train(quick(resume=True), say=lines.append)
    assert len(result.history) == 2
    assert any("starts from the beginning" in line for line in lines)


def test_resuming_a_finished_run_trains_no_further(quick: Options) -> None:
    first = train(quick())
    again = train(quick(resume=True))
    assert again.history == first.history
    _assert_equal(_weights(first), _weights(again))


def test_more_epochs_extend_a_run_where_the_schedule_allows(quick: Options) -> None:
    train(quick(scheduler="none", epochs=1))
    assert [e["epoch"] for e in train(quick(scheduler="none", epochs=3, resume=True)).history] == [1, 2, 3]


@pytest.mark.usefixtures("no_gain")
def test_early_stopping_ends_a_run_and_stays(quick: Options) -> None:
    given = {"scheduler": "none", "early_stopping": 2, "epochs": 9}
    first = train(quick(**given))
    assert len(first.history) == 3
    assert len(train(quick(resume=True, **given)).history) == 3


def test_damaged_state_is_named_on_resuming(quick: Options) -> None:
    train(quick(epochs=1))
    last = quick().out / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(ArtifactError, match=r"Training checkpoint 'last\.safetensors'"):
        train(quick(epochs=1, resume=True))


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "bf16-mixed"},
        {"clip_norm": 0.5, "accumulate": 3},
        {"loss": "focal", "weighted_sampling": True},
        {"label_smoothing": 0.1, "scheduler": "exponential"},
        {"scheduler": "cosine", "optimizer": "sgd"},
    ],
    ids=str,
)
def test_options_of_training_run(quick: Options, given: dict[str, Any]) -> None:
    result = train(quick(epochs=1, **given))
    assert np.isfinite(result.history[0]["train_loss"])


def test_frozen_stages_do_not_move(quick: Options, tmp_path: Path) -> None:
    source = train(quick(out=tmp_path / "source", epochs=1))
    moved = train(
        quick(out=tmp_path / "moved", weights=source.checkpoint, freeze="head-only", lr=1e-2, seed=4)
    )
    before, after = _weights(source), _weights(moved)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_idx_data_trains_at_its_own_size(quick: Options, tmp_path: Path) -> None:
    data = write_idx_folder(tmp_path / "digits")
    result = train(
        make_options("product", data, tmp_path / "run", epochs=1, batch_size=8, threads=1, device="cpu")
    )
    spec = read_artifact(result.checkpoint).spec
    assert (spec.input.channels, spec.input.size_wh, spec.output.labels) == ("grey", (6, 8), ("0", "1", "2"))
    assert result.metrics[0].split == "test"


def test_picture_that_is_damaged_inside_stops_the_run(
    quick: Options, colour_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(colour_folder, tmp_path / "data"))
    path = data / "red" / "003.png"
    path.write_bytes(path.read_bytes()[:-40])
    for workers in (0, 1):
        with pytest.raises(DataError, match=r"Picture red/003\.png: got a damaged image"):
            train(quick(data=data, augment=("resized-crop",), num_workers=workers, overwrite=workers > 0))


def test_gpu_that_is_not_there_is_an_error(quick: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device: got gpu"):
        train(quick(device="gpu"))
    with pytest.raises(UsageError, match="--precision: got 16-mixed on a CPU"):
        train(quick(precision="16-mixed"))
    assert not quick().out.exists()
