"""Optimisers and schedules by name; each takes real steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from train.networks.freezing import ParameterGroup
from train.optimizers import make_optimizer
from train.options import OPTIMIZERS, SCHEDULERS, TrainOptions, make_options
from train.schedulers import CYCLE_FLOOR, PLATEAU_PATIENCE_EPOCHS, WARMUP_FLOOR, make_scheduler
from train.state_codec import decode_state, encode_state

STEPS_PER_EPOCH = 5


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., TrainOptions]:
    return lambda **given: make_options("product", tmp_path, tmp_path, **{"epochs": 4, "lr": 0.1, **given})


def _groups(network: nn.Module, scale: float = 1.0) -> list[ParameterGroup]:
    return [ParameterGroup("all", tuple(network.parameters()), scale)]


def _rates(options: TrainOptions, epochs: int = 4) -> list[float]:
    network = nn.Linear(2, 2)
    optimizer = make_optimizer(options, _groups(network))
    scheduler = make_scheduler(options, optimizer, STEPS_PER_EPOCH, "max")
    rates = []
    for _ in range(epochs * STEPS_PER_EPOCH):
        rates.append(optimizer.param_groups[0]["lr"])
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_steps_against_the_gradient(options: Callable[..., TrainOptions], name: str) -> None:
    network = nn.Linear(3, 1)
    optimizer = make_optimizer(options(optimizer=name, lr=1e-3), _groups(network))
    before = network.weight.detach().clone()
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert (network.weight < before).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_decays_matrices_only(options: Callable[..., TrainOptions], name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = make_optimizer(options(optimizer=name, weight_decay=0.02), _groups(network))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(network[0].weight)] == 0.02
    assert [decay[id(p)] for p in (network[0].bias, network[1].weight, network[1].bias)] == [0.0] * 3


def test_optimizer_scales_the_rate_of_a_group(options: Callable[..., TrainOptions]) -> None:
    optimizer = make_optimizer(options(lr=0.2), _groups(nn.Linear(2, 2), scale=0.25))
    assert {group["lr"] for group in optimizer.param_groups} == {0.05}


@pytest.mark.parametrize(
    ("given", "momentum"),
    [
        ({"optimizer": "sgd"}, 0.9),
        ({"optimizer": "sgd", "momentum": 0.5}, 0.5),
        ({"optimizer": "rmsprop"}, 0.0),
    ],
    ids=["sgd", "sgd given", "rmsprop"],
)
def test_optimizer_momentum(
    options: Callable[..., TrainOptions], given: dict[str, Any], momentum: float
) -> None:
    optimizer = make_optimizer(options(**given), _groups(nn.Linear(2, 2)))
    assert optimizer.param_groups[0]["momentum"] == momentum


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "plateau"])
def test_schedule_never_leaves_its_range(
    options: Callable[..., TrainOptions], name: str, optimizer: str
) -> None:
    rates = _rates(options(scheduler=name, optimizer=optimizer))
    assert all(0.0 <= rate <= 0.1 * (1 + 1e-9) for rate in rates)


def test_schedule_none_is_constant(options: Callable[..., TrainOptions]) -> None:
    assert set(_rates(options(scheduler="none"))) == {0.1}


def test_schedule_step_falls_every_period(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="step", lr_step_epochs=2, lr_gamma=0.5))
    assert rates == pytest.approx([0.1] * 10 + [0.05] * 10)


def test_schedule_exponential_falls_by_gamma_per_period(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="exponential", lr_step_epochs=2, lr_gamma=0.5))
    assert (rates[0], rates[10]) == (0.1, pytest.approx(0.05))
    assert rates[1] / rates[0] == pytest.approx(0.5**0.1)


def test_schedule_cosine_is_half_way_down_in_the_middle(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="cosine"))
    assert rates[10] == pytest.approx(0.05)
    assert rates[-1] < 0.001


def test_schedule_cyclic_rises_and_falls_in_each_period(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="cyclic", lr_step_epochs=2))
    assert rates[0] == rates[10] == pytest.approx(CYCLE_FLOOR * 0.1)
    assert rates[5] == rates[15] == pytest.approx(0.1)


def test_schedule_one_cycle_peaks_after_the_warmup(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="one-cycle", warmup=0.25))
    assert max(rates) == pytest.approx(0.1, rel=0.02)
    assert 3 <= rates.index(max(rates)) <= 5
    assert rates[-1] < rates[0] < 0.01


@pytest.mark.parametrize("epochs", [1, 2])
def test_schedule_one_cycle_takes_runs_of_few_steps(
    options: Callable[..., TrainOptions], epochs: int
) -> None:
    chosen = options(scheduler="one-cycle", warmup=0.2, epochs=epochs)
    optimizer = make_optimizer(chosen, _groups(nn.Linear(2, 2)))
    scheduler = make_scheduler(chosen, optimizer, 2, "max")
    rates = []
    for _ in range(2 * epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(0.1)


def test_schedule_warmup_cosine_by_hand(options: Callable[..., TrainOptions]) -> None:
    rates = _rates(options(scheduler="warmup-cosine", warmup=0.2))
    assert rates[0] == pytest.approx(0.1 * WARMUP_FLOOR)
    assert rates[4] == pytest.approx(0.1)
    assert rates[12] == pytest.approx(0.05)
    assert rates[19] == pytest.approx(0.05 * (1 + math.cos(math.pi * 15 / 16)))


def test_schedule_plateau_waits_and_falls(options: Callable[..., TrainOptions]) -> None:
    optimizer = make_optimizer(options(), _groups(nn.Linear(2, 2)))
    scheduler = make_scheduler(options(scheduler="plateau", lr_gamma=0.5), optimizer, STEPS_PER_EPOCH, "max")
    rates = []
    for accuracy in [0.5] + [0.4] * (PLATEAU_PATIENCE_EPOCHS + 1):
        scheduler.step(accuracy)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1] * (PLATEAU_PATIENCE_EPOCHS + 1) + [0.05])


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "none"])
def test_schedule_state_can_be_stored(options: Callable[..., TrainOptions], name: str) -> None:
    chosen = options(scheduler=name)
    first, second = (make_optimizer(chosen, _groups(nn.Linear(2, 2))) for _ in range(2))
    scheduler = make_scheduler(chosen, first, STEPS_PER_EPOCH, "max")
    other = make_scheduler(chosen, second, STEPS_PER_EPOCH, "max")
    for _ in range(3):
        first.step()
        scheduler.step(*([0.5] if name == "plateau" else []))
    state = decode_state(*encode_state(scheduler.state_dict()))
    other.load_state_dict(state)
    assert other.last_epoch == scheduler.last_epoch == 3
