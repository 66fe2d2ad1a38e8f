"""Networks by name: shapes, heads, channels."""

from __future__ import annotations

import math

import pytest
import torch

from runtimes import EngineError
from runtimes.torch_runtime import build_network
from train.networks import compact_cnn, torchvision_networks
from train.tasks.image_classification import COMPACT, TORCHVISION


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [COMPACT, *TORCHVISION])
def test_builder_takes_channels_and_gives_classes(name: str, channels: int) -> None:
    network = build_network({"name": name, "arguments": {"channels": channels, "classes": 7}}).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(2, channels, 64, 64))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("name", TORCHVISION)
def test_heads_name_the_last_linear_layer(name: str) -> None:
    network = getattr(torchvision_networks, name)(channels=3, classes=5)
    head = network.get_submodule(torchvision_networks.HEADS[name])
    assert isinstance(head, torch.nn.Linear)
    assert head.out_features == 5


@pytest.mark.parametrize(("side", "stages"), [(28, 3), (64, 4)])
def test_compact_cnn_halves_once_per_stage(side: int, stages: int) -> None:
    network = compact_cnn.build(3, 4, width=8, stages=stages)
    left = math.ceil(side / 2**stages)
    assert network.features(torch.zeros(1, 3, side, side)).shape[1:] == (8 * 2 ** (stages - 1), left, left)


def test_compact_cnn_width_is_bounded() -> None:
    network = compact_cnn.build(1, 2, width=16, stages=6)
    assert network.classifier.in_features == compact_cnn.MAX_WIDTH


def test_compact_cnn_learns_to_tell_two_pictures_apart() -> None:
    torch.manual_seed(0)
    network = compact_cnn.build(1, 2, width=4)
    pictures = torch.stack([torch.zeros(1, 28, 28), torch.ones(1, 28, 28)])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(network(pictures), torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"classes": 1}, {"width": 0}, {"stages": 0}], ids=str)
def test_compact_cnn_refuses_senseless_arguments(wrong: dict[str, int]) -> None:
    arguments = {"channels": 1, "classes": 2, **wrong}
    with pytest.raises(EngineError, match="Network 'compact_cnn'"):
        build_network({"name": COMPACT, "arguments": arguments})
