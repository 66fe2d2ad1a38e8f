"""Quantisation-aware training: the module, the run, and what it wins back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from safetensors.torch import load_file

from runtimes import UsageError
from sdk import Predictor
from sdk.artifact import read_artifact
from train.callbacks import EpochCheckpoint
from train.loop import TrainResult, train
from train.networks.compact_cnn import build
from train.options import TrainOptions
from train.qat import QuantisationAware

Options = Callable[..., TrainOptions]
EXAMPLE = (torch.zeros(2, 1, 12, 12),)
# The prepared graph scales a convolution and takes the scale out again, which rounds in fp32.
SAME_ARITHMETIC = 1e-4


class _KilledError(Exception):
    """Stands in for a kill after an epoch's checkpoint."""


@pytest.fixture
def network() -> torch.nn.Module:
    """A small network whose statistics are those of real use, not the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(channels=1, classes=3, width=4, stages=1)
        for _ in range(30):
            network(torch.randn(16, 1, 12, 12))
    return network.eval()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, colour_folder: Path) -> TrainResult:
    """A run to train on from."""
    from train.options import make_options

    out = tmp_path_factory.mktemp("start") / "run"
    given = {"epochs": 2, "batch_size": 8, "lr": 5e-3, "image_size": 16, "threads": 1, "device": "cpu"}
    return train(make_options("product", colour_folder, out, **given))


@pytest.fixture
def aware_options(quick: Options, start: TrainResult) -> Options:
    """Options of a short quantisation-aware run from `start`."""

    def options(**given: Any) -> TrainOptions:
        return quick(**{"qat": start.checkpoint, "image_size": None, "lr": 1e-4, **given})

    return options


def test_plain_weights_are_those_of_the_network(network: torch.nn.Module) -> None:
    before = copy.deepcopy(network.state_dict())
    aware = QuantisationAware(network, EXAMPLE)
    weights = aware.plain_state_dict()
    assert list(weights) == list(before)
    for name, tensor in before.items():
        close = torch.allclose(weights[name], tensor, atol=1e-6)  # zero scales are lifted by that
        assert close, name
        assert torch.equal(network.state_dict()[name], tensor), "the network itself is not touched"


def test_answers_are_rounded_and_near_those_of_the_network(network: torch.nn.Module) -> None:
    aware, pictures = QuantisationAware(network, EXAMPLE), torch.randn(32, 1, 12, 12)
    aware.train()
    aware(pictures)
    plain = aware.plain()
    with torch.no_grad():
        rounded, exact = aware.eval()(pictures), plain(pictures)
    difference = (rounded - exact).abs().max() / exact.abs().max()
    assert SAME_ARITHMETIC < difference < 0.1


def test_evaluation_changes_nothing(network: torch.nn.Module) -> None:
    aware, pictures = QuantisationAware(network, EXAMPLE), torch.randn(8, 1, 12, 12)
    aware(pictures)
    aware.eval()
    first = aware(pictures)
    state = copy.deepcopy(aware.state_dict())
    aware(100 * pictures)
    assert torch.equal(aware(pictures), first)
    changed = {name for name, tensor in aware.state_dict().items() if not torch.equal(tensor, state[name])}
    assert not changed


def test_mode_follows_the_flag_alone(network: torch.nn.Module) -> None:
    """Lightning restores `training` on every module after validation, without a call of `train`."""
    aware, pictures = QuantisationAware(network, EXAMPLE), torch.randn(8, 1, 12, 12)
    aware.eval()
    aware(pictures)
    aware.training = True
    before = aware.plain_state_dict()["features.stem.1.running_mean"].clone()
    aware(pictures)
    assert not torch.equal(aware.plain_state_dict()["features.stem.1.running_mean"], before)


@pytest.mark.slow
def test_zero_scales_of_fresh_blocks_train(network: torch.nn.Module) -> None:
    with torch.no_grad():
        network.get_parameter("features.stage1.0.second.1.weight").zero_()
    aware = QuantisationAware(network, EXAMPLE)
    loss = aware(torch.randn(8, 1, 12, 12)).square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in aware.parameters())


@pytest.mark.parametrize("size", [1, 3, 16])
def test_any_batch_goes_through(network: torch.nn.Module, size: int) -> None:
    aware = QuantisationAware(network, EXAMPLE).eval()
    assert aware(torch.randn(size, 1, 12, 12)).shape == (size, 3)


def test_run_writes_an_ordinary_checkpoint(aware_options: Options, start: TrainResult) -> None:
    result = train(aware_options(epochs=1, qat_weight_bits=4))
    written, origin = read_artifact(result.checkpoint), read_artifact(start.checkpoint)
    assert written.spec == origin.spec
    assert load_file(result.checkpoint).keys() == load_file(start.checkpoint).keys()
    evidence = written.manifest.evidence
    assert evidence.parent_sha256 == origin.manifest.payload_sha256
    assert evidence.facts["qat"] == {"granularity": "per-channel", "weight_bits": 4}
    with Predictor(result.checkpoint) as predictor:
        assert predictor.verify().holds


@pytest.mark.slow
def test_run_that_is_resumed_equals_an_unbroken_one(
    aware_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = train(aware_options(out=tmp_path / "unbroken"))
    broken = aware_options(out=tmp_path / "broken")
    original = EpochCheckpoint.on_train_epoch_end

    def stop(self: EpochCheckpoint, trainer: lightning.Trainer, *rest: Any) -> None:
        if trainer.current_epoch >= 1:
            raise _KilledError
        original(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(EpochCheckpoint, "on_train_epoch_end", stop)
        with pytest.raises(_KilledError):
            train(broken)
    resumed = train(aware_options(out=tmp_path / "broken", resume=True))
    assert [e["train_loss"] for e in resumed.history] == [e["train_loss"] for e in unbroken.history]
    left, right = (load_file(result.checkpoint) for result in (unbroken, resumed))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_defaults_are_a_short_gentle_run(quick: Options, start: TrainResult) -> None:
    options = quick(qat=start.checkpoint, image_size=None, epochs=None, lr=None)
    assert (options.epochs, options.start) == (3, options.qat)
    assert options.lr <= 1e-3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": "x.safetensors"}, "--qat and --from: got both"),
        ({"precision": "bf16-mixed"}, "--qat: got it with --precision bf16-mixed"),
        ({"qat_weight_bits": 2}, "--qat-weight-bits: got 2, expected 8, 4 or 3"),
        ({"qat_granularity": "per-row"}, "--qat-granularity: got 'per-row'"),
    ],
    ids=["from", "precision", "bits", "granularity"],
)
def test_options_that_contradict_are_refused(
    aware_options: Options, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        aware_options(**given)


def test_options_of_it_need_it(quick: Options) -> None:
    with pytest.raises(UsageError, match="--qat-weight-bits: got it alone, expected --qat CHECKPOINT"):
        quick(qat_weight_bits=4)


def test_frozen_stages_are_refused(aware_options: Options) -> None:
    with pytest.raises(UsageError, match="--qat: got it with --freeze"):
        train(aware_options(freeze="head-only"))
