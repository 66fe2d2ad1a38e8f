"""Networks that give a map per class at the size of the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import segmentation

from runtimes import UsageError
from runtimes.torch_runtime import build_network
from train.networks.freezing import freeze
from train.networks.pretrained import load_weights_file
from train.networks.segmentation_networks import AUXILIARY, lraspp_mobilenet_v3_large
from train.networks.unet import build

NAMES = ("unet", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")


def _network(name: str, channels: int = 3, classes: int = 5) -> nn.Module:
    return build_network({"name": name, "arguments": {"channels": channels, "classes": classes}})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_map_has_the_size_of_the_picture(name: str, channels: int) -> None:
    network = _network(name, channels).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, channels, 70, 52))
    assert maps.shape == (1, 5, 70, 52)


def test_unet_grows_as_told() -> None:
    shallow, deep = (build(3, 2, width=4, depth=depth) for depth in (1, 5))
    assert len(shallow.features) == 1 and len(deep.features) == 5
    assert deep(torch.zeros(2, 3, 33, 47)).shape == (2, 2, 33, 47)


@pytest.mark.parametrize("arguments", [{"width": 0}, {"depth": 0}, {"classes": 1}], ids=str)
def test_unet_of_nothing_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="width|classes"):
        build(**{"channels": 3, "classes": 2, **arguments})


def test_torchvision_weights_fit_without_their_auxiliary_classifier() -> None:
    torch.manual_seed(0)
    theirs = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5, aux_loss=True
    ).eval()
    ours = _network("deeplabv3_mobilenet_v3_large").eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith(AUXILIARY)})
    picture = torch.randn(1, 3, 48, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture), theirs(picture)["out"])


def test_weights_for_other_classes_leave_the_heads_fresh(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, network = (lraspp_mobilenet_v3_large(3, classes) for classes in (21, 4))
    fresh = {name: network.get_submodule(name).weight.clone() for name in network.heads}
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_weights_file(network, tmp_path / "weights.safetensors")
    first = "backbone.0.0.weight"
    torch.testing.assert_close(network.state_dict()[first], source.state_dict()[first])
    for name in network.heads:
        torch.testing.assert_close(network.get_submodule(name).weight, fresh[name])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(build(3, 4).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match="Weights 'weights.safetensors': got"):
        load_weights_file(lraspp_mobilenet_v3_large(3, 4), tmp_path / "weights.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_head_alone_can_be_trained(name: str) -> None:
    network = _network(name)
    freeze(network, "head-only")
    trained = {key.split(".")[0] for key, p in network.named_parameters() if p.requires_grad}
    assert trained == {"classifier"}
