"""Torchvision's classification networks with our head and our number of channels."""

from __future__ import annotations

from torch import nn
from torchvision import models

HEADS = {
    "resnet18": "fc",
    "resnet50": "fc",
    "efficientnet_b0": "classifier.1",
    "efficientnet_v2_s": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "mobilenet_v3_large": "classifier.3",
}
"""The last linear layer of each network, which depends on the classes."""

COLOUR_CHANNELS = 3


def resnet18(channels: int, classes: int) -> nn.Module:
    """He et al. 2016, 18 layers. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("resnet18", channels, classes)


def resnet50(channels: int, classes: int) -> nn.Module:
    """He et al. 2016, 50 layers. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("resnet50", channels, classes)


def efficientnet_b0(channels: int, classes: int) -> nn.Module:
    """Tan & Le 2019. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("efficientnet_b0", channels, classes)


def efficientnet_v2_s(channels: int, classes: int) -> nn.Module:
    """Tan & Le 2021. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("efficientnet_v2_s", channels, classes)


def mobilenet_v3_small(channels: int, classes: int) -> nn.Module:
    """Howard et al. 2019. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("mobilenet_v3_small", channels, classes)


def mobilenet_v3_large(channels: int, classes: int) -> nn.Module:
    """Howard et al. 2019. Takes float32 (N, channels, H, W), gives logits (N, classes)."""
    return _build("mobilenet_v3_large", channels, classes)


def _build(name: str, channels: int, classes: int) -> nn.Module:
    network = models.get_model(name, weights=None, num_classes=classes)
    if channels != COLOUR_CHANNELS:
        replace_first_convolution(network, channels)
    return network


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """The convolution that sees the picture, with its dotted name."""
    return next((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d))


def replace_first_convolution(network: nn.Module, channels: int) -> None:
    """Give the convolution that sees the picture another number of input channels, and fresh weights."""
    name, old = first_convolution(network)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        bias=old.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, new)
