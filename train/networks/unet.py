"""A small U-Net: class maps at the size of the picture, from layers that every engine fuses and quantises.

Ronneberger, Fischer & Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", with what
later work changed: padded convolutions with batch normalisation, bilinear enlarging in place of transposed
convolutions (which leave a checkerboard), and a strided stem, so that no 3×3 convolution works at full size,
where a small network would spend most of its time.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from train.networks.convolution import convolution

DEFAULT_WIDTH = 16
DEFAULT_DEPTH = 4
MAX_WIDTH = 256
"""Channels stop doubling here, so that many stages do not explode."""


def build(channels: int, classes: int, width: int = DEFAULT_WIDTH, depth: int = DEFAULT_DEPTH) -> nn.Module:
    """Build the network.

    Args:
        channels: Of the picture: 1 grey, 3 colour.
        classes: Number of maps.
        width: Channels at half the picture's size; every further stage doubles them.
        depth: Stages on the way down; the last works at 1/2^depth of the size.

    Returns:
        A module that takes float32 (N, channels, H, W), H and W of any size from 2^depth up, and gives
        logits float32 (N, classes, H, W).
    """
    if min(channels, width, depth) < 1 or classes < 2:
        raise ValueError(f"channels {channels}, classes {classes}, width {width}, depth {depth}")
    return UNet(channels, classes, width, depth)


class UNet(nn.Module):
    """See `build`. `features` holds the stages down, `decoder` those up again, `classifier` is the head."""

    heads = ("classifier",)

    def __init__(self, channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [min(width * 2**stage, MAX_WIDTH) for stage in range(depth)]
        stem = nn.Sequential(convolution(channels, width, 5, stride=2), convolution(width, width))
        down = [
            nn.Sequential(nn.MaxPool2d(2), convolution(narrow, wide), convolution(wide, wide))
            for narrow, wide in pairwise(widths)
        ]
        self.features = nn.Sequential(stem, *down)
        self.decoder = nn.ModuleList(_Up(wide, narrow) for narrow, wide in reversed(list(pairwise(widths))))
        self.classifier = nn.Conv2d(width, classes, 1)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised pictures (N, C, H, W)."""
        kept = []
        features = image
        for stage in self.features:
            features = stage(features)
            kept.append(features)
        for up, skip in zip(self.decoder, reversed(kept[:-1]), strict=True):
            features = up(features, skip)
        return enlarged(self.classifier(features), image)


class _Up(nn.Module):
    """Twice the size, half the channels, joined with what the way down had at that size."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.reduce = convolution(wide, narrow, 1)
        self.join = nn.Sequential(convolution(2 * narrow, narrow), convolution(narrow, narrow))

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        return self.join(torch.cat([enlarged(self.reduce(features), skip), skip], dim=1))


def enlarged(maps: Tensor, like: Tensor) -> Tensor:
    """`maps` (N, C, h, w) bilinearly at the height and width of `like`."""
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
