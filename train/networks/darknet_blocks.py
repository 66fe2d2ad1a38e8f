"""The blocks that Darknet's networks are made of, and how a configuration file lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

LEAK = 0.1
"""Slope of the leaky ReLU below zero."""
OBJECT_PRIOR = 0.01
"""Objectness of an untrained network."""


class Section(NamedTuple):
    """One section of a configuration file as a network expects it.

    Attributes:
        kind: Such as ``convolutional``.
        values: What has to agree, by key. Layers that a ``route`` or ``shortcut`` names count from 0.
        module: Takes the section's weights; None where it has none.
    """

    kind: str
    values: dict[str, object]
    module: nn.Module | None = None


class ConvolutionBlock(nn.Sequential):
    """Convolution without bias, batch normalisation, leaky ReLU; padded by half the kernel's side."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(LEAK),
        )


class Residual(nn.Module):
    """A 1×1 convolution that halves the channels and a 3×3 one that restores them, around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = ConvolutionBlock(width, width // 2, 1)
        self.expand = ConvolutionBlock(width // 2, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, width, H, W) of the same shape."""
        return features + self.expand(self.squeeze(features))


class SameSizePool(nn.Module):
    """The greatest of 2×2 pixels at stride 1; shape is kept.

    Darknet lets the window stick out at the right and the bottom, where it sees fewer pixels. Torch pads both
    sides alike, so the first row and column of its answer are dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, stride=1, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) of the same shape."""
        return self.pool(features)[:, :, 1:, 1:]


def sections_of(module: nn.Module) -> Iterator[Section]:
    """The sections of blocks that follow each other; a residual block's shortcut is among them."""
    if isinstance(module, (ConvolutionBlock, nn.Conv2d)):
        yield _convolutional(module)
    elif isinstance(module, SameSizePool):
        yield Section("maxpool", {"size": 2, "stride": 1})
    elif isinstance(module, nn.MaxPool2d):
        yield Section("maxpool", {"size": module.kernel_size, "stride": module.stride})
    elif isinstance(module, Residual):
        yield from (*sections_of(module.squeeze), *sections_of(module.expand))
        yield Section("shortcut", {"from": -3})
    else:
        for child in module.children():
            yield from sections_of(child)


def _convolutional(module: ConvolutionBlock | nn.Conv2d) -> Section:
    plain = isinstance(module, nn.Conv2d)
    convolution = module if isinstance(module, nn.Conv2d) else module[0]
    values = {
        "batch_normalize": 0 if plain else 1,
        "filters": convolution.out_channels,
        "size": convolution.kernel_size[0],
        "stride": convolution.stride[0],
        "activation": "linear" if plain else "leaky",
    }
    return Section("convolutional", values, module)


def initialise(network: nn.Module, head: nn.ModuleList, classes: int) -> None:
    """Start values: He et al. 2015 for the convolutions; predictions that begin as "nothing here".

    Nearly every cell of a map is empty. Objectness that began at one half would make the first steps a loud
    vote for zero; it begins at `OBJECT_PRIOR` instead (Lin et al. 2017, "Focal Loss", section 4.1).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=LEAK, mode="fan_in", nonlinearity="leaky_relu")
    for convolution in head:
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        nn.init.normal_(convolution.weight, std=0.01)
        with torch.no_grad():
            bias = convolution.bias.view(-1, 5 + classes)
            bias.zero_()
            bias[:, 4] = torch.logit(torch.tensor(OBJECT_PRIOR))
