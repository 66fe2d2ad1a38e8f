"""Two networks through the one loop: what it writes, and that its options hold for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sdk import Predictor
from tests.train.small_data import write_idx_folder
from train.callbacks import EpochCheckpoint
from train.gan_module import GRID, GanModule
from train.loop import TrainResult, train
from train.options import TrainOptions, make_options

# A mean over halves of a batch adds in another order.
ORDER_OF_ADDITIONS = 1e-5


class _KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Idx files, 8×6: three brightnesses, 80 pictures each. Read only."""
    return write_idx_folder(tmp_path_factory.mktemp("shades"), per_class=80)


def _options(data: Path, out: Path, **given: Any) -> TrainOptions:
    small = {"epochs": 2, "batch_size": 32, "dimensions": 4, "width": 4, "score_samples": 24, "threads": 1,
             "device": "cpu"}  # fmt: skip
    return make_options("gan", data, out, **{**small, **given})


def _weights(result: TrainResult) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.numpy() for name, tensor in load_file(result.checkpoint).items()}


def _state(options: TrainOptions) -> dict[str, np.ndarray[Any, Any]]:
    tensors = load_file(options.out / "checkpoints" / "last.safetensors")
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _different(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    assert set(left) == set(right)
    return [name for name in left if left[name].tobytes() != right[name].tobytes()]


def test_run_writes_a_generator_and_a_grid_per_epoch(shades: Path, tmp_path: Path) -> None:
    options = _options(shades, tmp_path / "run")
    result = train(options)
    assert not [name for name in _weights(result) if "judge" in name]  # the discriminator stays behind
    assert {"train_loss", "train_discriminator_loss", "train_told_apart", "val_frechet"} <= set(
        result.history[0]
    )
    grids = sorted((options.out / "samples").iterdir())
    assert [path.name for path in grids] == ["epoch_001.png", "epoch_002.png"]
    with Predictor(result.checkpoint) as predictor:
        first = predictor.predict(0).pixels[..., 0]
    with Image.open(grids[result.best_epoch - 1]) as grid:
        np.testing.assert_array_equal(np.asarray(grid)[:8, :8], first)
        assert grid.width == 8 * round(GRID**0.5) + 2 * (round(GRID**0.5) - 1)
    assert {"generated.png", "real.png", "curves.png"} <= {path.name for path in options.out.iterdir()}
    train(_options(shades, tmp_path / "run", epochs=1, overwrite=True))
    assert [path.name for path in (options.out / "samples").iterdir()] == ["epoch_001.png"]


@pytest.mark.parametrize(
    "given",
    [
        {"scheduler": "cosine", "instance_noise": 0.2},
        {"scheduler": "plateau", "r1": 0.5, "spectral_norm": False},
    ],
    ids=["cosine", "plateau"],
)
def test_resumed_run_equals_an_unbroken_one(
    shades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    whole = _options(shades, tmp_path / "whole", epochs=2, **given)
    unbroken = train(whole)
    original = EpochCheckpoint.on_train_epoch_end

    def stop(self: EpochCheckpoint, trainer: lightning.Trainer, *rest: Any) -> None:
        if trainer.current_epoch >= 1:
            raise _KilledError
        original(self, trainer, *rest)

    broken = _options(shades, tmp_path / "broken", epochs=2, **given)
    with monkeypatch.context() as patch:
        patch.setattr(EpochCheckpoint, "on_train_epoch_end", stop)
        with pytest.raises(_KilledError):
            train(broken)
    resumed = train(_options(shades, tmp_path / "broken", epochs=2, resume=True, **given))
    assert _different(_weights(unbroken), _weights(resumed)) == []
    assert _different(_state(whole), _state(broken)) == []
    assert [e["val_frechet"] for e in resumed.history] == [e["val_frechet"] for e in unbroken.history]


def test_accumulated_halves_step_like_whole_batches(shades: Path, tmp_path: Path) -> None:
    """Steps are as many as with whole batches, of the discriminator and of the generator alike."""
    steps: dict[str, list[int]] = {}
    for name, given in (("whole", {"batch_size": 32}), ("halves", {"batch_size": 16, "accumulate": 2})):
        train(_options(shades, tmp_path / name, epochs=1, ema=0.5, **given))
        state = _state(_options(shades, tmp_path / name, epochs=1, ema=0.5, **given))
        steps[name] = sorted({int(value) for key, value in state.items() if key.endswith(".step")})
        averaged = next(int(value) for key, value in state.items() if key.endswith("n_averaged"))
        assert averaged == steps[name][0]
    # 216 pictures: 6 whole batches; 13 halves, the last of which steps alone.
    assert steps == {"whole": [6], "halves": [7]}


def test_accumulation_averages_gradients(
    shades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two equal halves move both networks as the whole batch does."""
    pictures = torch.arange(8).expand(36, 1, 8, 8) / 8
    # Noise stands still, too: every half is the same.
    monkeypatch.setattr("train.gan_losses.AdversarialLoss.draw", lambda _self, n, device: torch.ones(n, 4))

    def moved(batch_size: int, accumulate: int, out: str) -> dict[str, Any]:
        options = _options(shades, tmp_path / out, epochs=1, batch_size=batch_size, accumulate=accumulate,
                           optimizer="sgd", momentum=0.0, lr=0.05, loss="non-saturating",
                           spectral_norm=False)  # fmt: skip
        monkeypatch.setattr("train.gan_module.require_loaded", lambda _: (pictures[:batch_size], None))
        train(options)
        # Statistics of batches are taken twice as often with halves.
        return {name: value for name, value in _state(options).items() if name.endswith((".weight", ".bias"))}

    whole, halves = moved(36, 1, "whole"), moved(18, 2, "halves")  # six steps of 216 pictures
    assert sum("discriminator" in name for name in whole) >= 6
    for name, value in whole.items():
        np.testing.assert_allclose(halves[name], value, atol=ORDER_OF_ADDITIONS, err_msg=name)


@pytest.mark.parametrize("given", [{"clip_norm": 1e-6}, {"clip_value": 1e-8}], ids=["norm", "value"])
def test_clipping_holds_both_networks(shades: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    options = _options(
        shades, tmp_path / "run", epochs=1, optimizer="sgd", momentum=0.0, lr=1.0, ema=1e-9, **given
    )
    calm = train(options)
    state, fresh = _state(options), train(_options(shades, tmp_path / "free", epochs=1, optimizer="sgd",
                                                   momentum=0.0, lr=1.0, ema=1e-9))  # fmt: skip
    before = make_network(options)
    kept = max(float(np.abs(_weights(calm)[name] - before[name]).max()) for name in before)
    free = max(float(np.abs(_weights(fresh)[name] - before[name]).max()) for name in before)
    assert kept < 1e-4 < free
    assert state


def make_network(options: TrainOptions) -> dict[str, np.ndarray[Any, Any]]:
    """The generator's parameters as the run starts with."""
    from train.tasks import get_task

    lightning.seed_everything(options.seed, verbose=False)
    network = get_task("gan").plan(options).network
    return {name: parameter.detach().numpy().copy() for name, parameter in network.named_parameters()}


def test_learning_rates_differ_and_betas_are_low(shades: Path, tmp_path: Path) -> None:
    from train.tasks import get_task

    options = _options(shades, tmp_path / "run", lr=1e-3, discriminator_lr=3e-3, beta1=0.25)
    task = get_task("gan")
    module = GanModule(task, task.plan(options), options, 0)
    module.trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False,
                                       enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    optimizers, schedulers = module.configure_optimizers()
    assert [group["lr"] for each in optimizers for group in each.param_groups][:1] == [1e-3]
    assert {group["lr"] for group in optimizers[1].param_groups} == {3e-3}
    assert {group["betas"][0] for each in optimizers for group in each.param_groups} == {0.25}
    assert schedulers == []


def test_early_stopping_looks_at_the_score(
    shades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.frechet.frechet_distance", lambda *_: 7.0)
    result = train(_options(shades, tmp_path / "run", epochs=6, early_stopping=2))
    assert len(result.history) == 3
    assert result.best_epoch == 1
