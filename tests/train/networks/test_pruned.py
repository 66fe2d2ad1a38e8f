"""The builder of pruned networks: what it takes, what it gives back, what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from export.pruning import prune_network
from runtimes import EngineError
from runtimes.torch_runtime import build_network
from sdk.spec import Network
from train.networks.names import DERIVED, base_name
from train.networks.pruned import build, pruned_network, shapes_of

BASES = {
    "compact_cnn": (1, 28),
    "resnet18": (3, 64),
    "mobilenet_v3_small": (3, 64),
}


def _base(name: str) -> tuple[Network, nn.Module, torch.Tensor]:
    channels, side = BASES[name]
    base = Network(name, {"channels": channels, "classes": 10})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network({"name": name, "arguments": base.arguments}).eval()
        return base, network, torch.randn(2, channels, side, side)


def _rebuilt(description: Network) -> nn.Module:
    """As a reader of the artifact would: from JSON."""
    tree = json.loads(json.dumps({"name": description.name, "arguments": description.arguments}))
    network: nn.Module = build_network(tree).eval()
    return network


@pytest.mark.parametrize("name", BASES)
def test_rebuilt_network_answers_as_torch_prunings_own_module(name: str) -> None:
    base, network, images = _base(name)
    pruned = prune_network(network, images[:1], 0.5)
    rebuilt = _rebuilt(pruned_network(pruned, base))
    rebuilt.load_state_dict(pruned.state_dict())
    with torch.inference_mode():
        assert torch.equal(rebuilt(images), pruned(images))
        assert not torch.equal(rebuilt(images), network(images))
    assert shapes_of(rebuilt) == shapes_of(pruned)


@pytest.mark.parametrize("name", BASES)
def test_unpruned_network_is_itself(name: str) -> None:
    base, network, images = _base(name)
    rebuilt = _rebuilt(pruned_network(network, base))
    rebuilt.load_state_dict(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(rebuilt(images), network(images))


def test_pruning_twice_still_refers_to_the_first_base() -> None:
    base, network, images = _base("resnet18")
    once = prune_network(network, images[:1], 0.25)
    first = pruned_network(once, base)
    twice = prune_network(once, images[:1], 0.5)
    second = pruned_network(twice, first)
    assert second.arguments["base"] == {"name": "resnet18", "arguments": base.arguments}
    assert base_name(second) == "resnet18"
    rebuilt = _rebuilt(second)
    rebuilt.load_state_dict(twice.state_dict())
    with torch.inference_mode():
        assert torch.equal(rebuilt(images), twice(images))


def test_fresh_weights_can_be_trained_on() -> None:
    base, network, images = _base("mobilenet_v3_small")
    rebuilt = _rebuilt(pruned_network(prune_network(network, images[:1], 0.5), base)).train()
    rebuilt(images).sum().backward()
    assert all(torch.isfinite(p).all() and p.grad is not None for p in rebuilt.parameters())


class _Transposed(nn.Module):
    """A transposed convolution between two others, as in decoders."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, 2, 1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.norm = nn.BatchNorm2d(8)
        self.out = nn.Conv2d(8, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """A picture of the same size."""
        return self.out(self.norm(self.up(self.down(image))))


def test_transposed_convolutions_are_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.networks.pruned.build_network", lambda base: _Transposed())
    network, image = _Transposed().eval(), torch.randn(1, 3, 8, 8)
    pruned = prune_network(network, image, 0.5, round_to=1)
    rebuilt = build({"name": "transposed", "arguments": {}}, shapes_of(pruned)).eval()
    rebuilt.load_state_dict(pruned.state_dict())
    assert (rebuilt.down.out_channels, rebuilt.up.out_channels, rebuilt.out.out_channels) == (8, 4, 3)
    with torch.inference_mode():
        assert torch.equal(rebuilt(image), pruned(image))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"features.nowhere": {"weight": [8]}}, "layer 'features.nowhere'"),
        ({"features": {"weight": [8]}}, "layer 'features'"),
        ({"classifier": {"weight": [10]}}, "layer 'classifier'"),
        ({"classifier": {"weight": [10, 129]}}, "cut from"),
        ({"classifier": {"weight": [0, 128]}}, "cut from"),
        ({"classifier": {"weight": [2.5, 128]}}, "cut from"),
        ({"features.stem.0": {"weight": [32, 1, 7, 7]}}, "cut from"),
        ({"features.stem.0": {"weight": [1_000_000_000, 1, 5, 5]}}, "cut from"),
        ({"features.stem.0": {"weight": [32, 1, 5, 5], "groups": 4}}, "cut from"),
        ({"features.stem.1": {"weight": [99]}}, "cut from"),
        ({"features.stem.1": {}}, "record {}"),
        ({"features.stem.1": {"weight": 8}}, "record {'weight': 8}"),
    ],
    ids=str,
)
def test_records_that_cannot_be_cut_out_of_the_base_are_refused(shapes: dict[str, Any], message: str) -> None:
    base = {"name": "compact_cnn", "arguments": {"channels": 1, "classes": 10}}
    with pytest.raises(EngineError, match="Network 'pruned'") as caught:
        build_network({"name": "pruned", "arguments": {"base": base, "shapes": shapes}})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "base",
    [{"name": "pruned", "arguments": {}}, {"name": "compact_cnn"}, {}, "compact_cnn"],
    ids=str,
)
def test_bases_that_are_none_are_refused(base: Any) -> None:
    with pytest.raises(EngineError, match="Network 'pruned'"):
        build_network({"name": "pruned", "arguments": {"base": base, "shapes": {}}})


def test_derived_builders_are_not_offered_as_models(capsys: pytest.CaptureFixture[str]) -> None:
    from sdk.command import main

    with pytest.raises(SystemExit):
        main(["train", "product", "--list-models"])
    assert not DERIVED & set(capsys.readouterr().out.split())
