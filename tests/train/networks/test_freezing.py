"""Freezing strategies on every network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from runtimes import UsageError
from runtimes.torch_runtime import build_network
from train.networks.freezing import (
    LAST_BLOCKS,
    SLOWEST_SCALE,
    STRATEGIES,
    freeze,
    frozen_modules,
    stages_of,
)
from train.tasks import image_arguments

NETWORKS = ("compact_cnn", "resnet18", "efficientnet_b0", "mobilenet_v3_small")
HEADS = {"resnet18": "fc"}


def _network(name: str) -> nn.Module:
    return build_network({"name": name, "arguments": {"channels": 3, "classes": 4}})


def _trained(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_groups_hold_exactly_what_trains(name: str, strategy: str) -> None:
    network = _network(name)
    grouped = [parameter for group in freeze(network, strategy) for parameter in group.parameters]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(grouped) == len({id(parameter) for parameter in grouped})
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in trained}


@pytest.mark.parametrize("name", NETWORKS)
def test_head_only_trains_the_head(name: str) -> None:
    network = _network(name)
    freeze(network, "head-only")
    head = HEADS.get(name, "classifier")
    assert _trained(network) == {key for key, _ in network.named_parameters() if key.startswith(f"{head}.")}


def test_last_blocks_trains_the_last_two_stages_of_resnet18() -> None:
    network = _network("resnet18")
    groups = freeze(network, "last-blocks")
    assert [group.name for group in groups] == ["layer3", "layer4", "fc"]
    assert len(groups) == 1 + LAST_BLOCKS
    assert not any(name.startswith(("conv1", "layer1", "layer2")) for name in _trained(network))


def test_discriminative_rates_rise_to_the_head() -> None:
    groups = freeze(_network("resnet18"), "discriminative")
    scales = [group.lr_scale for group in groups]
    assert [group.name for group in groups] == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert scales == sorted(scales)
    assert scales[0] == pytest.approx(SLOWEST_SCALE)
    assert scales[-1] == 1.0


def test_stages_look_inside_features() -> None:
    assert [name for name, _ in stages_of(_network("compact_cnn"))] == [
        "features.stem",
        "features.stage1",
        "features.stage2",
        "features.stage3",
        "classifier",
    ]


def test_frozen_modules_are_those_without_a_trained_parameter() -> None:
    network = _network("resnet18")
    freeze(network, "last-blocks")
    frozen = list(frozen_modules(network))
    assert network.bn1 in frozen
    assert network.layer1[0].bn1 in frozen
    assert network.layer3[0].bn1 not in frozen
    assert network not in frozen


def test_network_of_one_part_cannot_be_frozen() -> None:
    with pytest.raises(UsageError, match="--freeze: got head-only for a network of one part"):
        freeze(nn.Sequential(nn.Linear(2, 2)), "head-only")


def test_frozen_parameters_get_no_gradient() -> None:
    network = _network("compact_cnn")
    freeze(network, "head-only")
    network(torch.zeros(2, 3, 28, 28)).sum().backward()
    assert network.features.stem[0].weight.grad is None
    assert network.classifier.weight.grad is not None


def test_the_command_line_offers_every_strategy() -> None:
    assert image_arguments._STRATEGIES == STRATEGIES
