"""A small residual CNN for small pictures: trains in minutes on two cores, lowers to every runtime.

A strided stem halves the picture, so that no layer works at its full size: in small networks that is where
the time goes, above all in int8. Each further stage halves it again by a strided convolution that doubles the
width. Every stage ends in a residual block (He et al. 2016, "Deep Residual Learning", post-activation form).
Only convolution, batch normalisation, ReLU, addition, mean and linear: what every engine fuses and quantises
well.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from train.networks.convolution import convolution

DEFAULT_WIDTH = 32
MAX_WIDTH = 256
"""Channels stop doubling here, so that many stages do not explode."""


def build(channels: int, classes: int, width: int = DEFAULT_WIDTH, stages: int = 3) -> nn.Module:
    """Build the network.

    Args:
        channels: Of the picture: 1 grey, 3 colour.
        classes: Number of scores.
        width: Channels of the stem and the first stage; every further stage doubles them.
        stages: How often the picture is halved: 3 suits 28×28, each doubling of the side one more.

    Returns:
        A module that takes float32 (N, channels, H, W) and gives logits float32 (N, classes).
    """
    if min(channels, width, stages) < 1 or classes < 2:
        raise ValueError(f"channels {channels}, classes {classes}, width {width}, stages {stages}")
    return CompactCNN(channels, classes, width, stages)


class CompactCNN(nn.Module):
    """See `build`. `features` holds the stages in order, `classifier` is the head."""

    def __init__(self, channels: int, classes: int, width: int, stages: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(stem=convolution(channels, width, 5, stride=2))
        layers["stage1"] = nn.Sequential(Residual(width))
        for stage in range(2, stages + 1):
            wider = min(2 * width, MAX_WIDTH)
            layers[f"stage{stage}"] = nn.Sequential(convolution(width, wider, stride=2), Residual(wider))
            width = wider
        self.features = nn.Sequential(layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, classes)
        _initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, classes) of normalised pictures (N, C, H, W)."""
        return self.classifier(self.pool(self.features(image)).flatten(1))


class Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut; shape is kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, width, H, W) of the same shape."""
        return self.activation(features + self.second(self.first(features)))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Residual):
            # The block starts as the identity, which bears a high learning rate (Goyal et al. 2017, 5.1).
            nn.init.zeros_(module.second[1].weight)
