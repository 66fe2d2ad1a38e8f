"""The moving average of the weights: its steps by hand, and that it is what a run judges and keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from train.loop import train
from train.moving_average import moving_average
from train.options import TrainOptions

Options = Callable[..., TrainOptions]


def test_moving_average_follows_the_weights_slowly_and_at_first_fast() -> None:
    network = nn.Linear(1, 1, bias=False)
    weights = iter((0.0, 1.0, 1.0, 1.0))
    nn.init.constant_(network.weight, next(weights))
    average = moving_average(network, 0.25)
    found = []
    for weight in (0.0, *weights):
        nn.init.constant_(network.weight, weight)
        average.update_parameters(network)
        found.append(average.module.weight.item())
    # The first step copies; the decays of the next are 2/11, 0.25 and 0.25.
    second = 9 / 11
    third = second + (1 - second) * 0.75
    assert found == pytest.approx([0.0, second, third, third + (1 - third) * 0.75])


def test_moving_average_averages_batch_statistics() -> None:
    network = nn.BatchNorm1d(1)
    average = moving_average(network, 0.5)
    average.update_parameters(network)
    network.running_mean.fill_(11.0)
    average.update_parameters(network)
    assert average.module.running_mean.item() == pytest.approx(11.0 * 9 / 11)


def test_run_with_a_moving_average_keeps_other_weights_and_the_same_steps(quick: Options) -> None:
    given = {"scheduler": "none", "epochs": 1, "overwrite": True}
    plain = train(quick(**given))
    steps = load_file(plain.checkpoint)
    averaged = train(quick(ema=0.9, **given))
    kept = load_file(averaged.checkpoint)
    last = load_file(averaged.checkpoint.parent / "checkpoints" / "last.safetensors")
    assert averaged.history[0]["train_loss"] == plain.history[0]["train_loss"]
    name = next(name for name in steps if name.endswith("weight"))
    assert not torch.equal(kept[name], steps[name])
    stored = [tensor for key, tensor in last.items() if key.endswith(f"average.module.{name}")]
    assert any(torch.equal(tensor, kept[name]) for tensor in stored)
