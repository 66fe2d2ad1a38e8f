"""A generator of small pictures, and the discriminator it learns against.

The layout of Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks": transposed convolutions that each double the side, batch normalisation and ReLU in the
generator; strided convolutions and leaky ReLU in the discriminator. The generator's last layer is a plain
convolution: it smooths what transposed ones leave uneven (Odena et al. 2016, "Deconvolution and Checkerboard
Artifacts"). The generator is all that a checkpoint holds.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

BASES = (4, 5, 6, 7)
"""Sides of the smallest feature map; a picture's side is one of them doubled a few times."""
SMALLEST_PX, LARGEST_PX = 8, 512
DEFAULT_DIMENSIONS, DEFAULT_WIDTH = 64, 32
MAX_WIDTH = 256
"""Channels stop doubling here."""
_SLOPE = 0.2
_STD = 0.02
"""Deviation of fresh weights, as in section 4 of the paper."""


def doublings(side_px: int) -> int | None:
    """How often the smallest feature map is doubled for a picture of this side; None where that cannot be."""
    for times in range(1, 10):
        if side_px % 2**times == 0 and side_px // 2**times in BASES:
            return times
    return None


def next_side(side_px: int) -> int:
    """The smallest side that can be generated and is not below `side_px`."""
    side = max(SMALLEST_PX, side_px)
    while doublings(side) is None:
        side += 1
    return side


def build(
    dimensions: int = DEFAULT_DIMENSIONS, channels: int = 1, side_px: int = 28, width: int = DEFAULT_WIDTH
) -> nn.Module:
    """Build the generator.

    Args:
        dimensions: Numbers that a picture is made from.
        channels: Of the picture: 1 grey, 3 colour.
        side_px: Of the picture: one of `BASES` times a power of two.
        width: Channels at half the picture's size; twice as many at a quarter, half as many at the whole.

    Returns:
        A module from float32 (N, dimensions) to pictures float32 (N, channels, side, side), 0..1.
    """
    times = doublings(side_px)
    if min(dimensions, width) < 1 or channels not in (1, 3) or times is None:
        raise ValueError(f"dimensions {dimensions}, channels {channels}, side_px {side_px}, width {width}")
    return Generator(dimensions, channels, side_px, width, times)


def build_discriminator(channels: int, side_px: int, width: int, *, spectral: bool) -> nn.Module:
    """Build the network that tells real pictures from generated ones.

    Args:
        channels: Of the picture.
        side_px: Of the picture, as the generator's.
        width: Channels at half the picture's size; twice as many at a quarter, half as many at the whole.
        spectral: Divide every weight by its largest singular value, which bounds how steeply the answer can
            change (Miyato et al. 2018, "Spectral Normalization"); else batch normalisation.

    Returns:
        A module from pictures float32 (N, channels, side, side), -1..1, to logits (N,): real above 0.
    """
    times = doublings(side_px)
    assert times is not None
    return Discriminator(channels, side_px, width, times, spectral)


class Generator(nn.Module):
    """See `build`."""

    def __init__(self, dimensions: int, channels: int, side_px: int, width: int, times: int) -> None:
        super().__init__()
        widths = [min(MAX_WIDTH, width * 2**at) for at in reversed(range(times))]
        last = max(1, width // 2)
        self.base = side_px // 2**times
        self.project = nn.Linear(dimensions, widths[0] * self.base**2, bias=False)
        self.start = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for at, (inner, outer) in enumerate(zip(widths, [*widths[1:], last], strict=True)):
            stages[f"double{at + 1}"] = nn.Sequential(
                nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()
            )
        self.features = nn.Sequential(stages)
        self.paint = nn.Conv2d(last, channels, 3, padding=1)
        _initialise(self, _STD)

    def forward(self, noise: Tensor) -> Tensor:
        """Pictures (N, C, side, side), 0..1, of noise (N, dimensions)."""
        small = self.project(noise).reshape(noise.shape[0], -1, self.base, self.base)
        return 0.5 + 0.5 * torch.tanh(self.paint(self.features(self.start(small))))


class Discriminator(nn.Module):
    """See `build_discriminator`."""

    def __init__(self, channels: int, side_px: int, width: int, times: int, spectral: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for at in range(times):
            after = min(MAX_WIDTH, width * 2**at)
            normed = not spectral and at > 0
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=not normed))
            layers += [nn.BatchNorm2d(after)] if normed else []
            layers.append(nn.LeakyReLU(_SLOPE))
            before = after
        self.features = nn.Sequential(*layers)
        # One more input: how much the batch varies (Karras et al. 2018, "Progressive Growing", section 3).
        self.judge = nn.Linear((before + 1) * (side_px // 2**times) ** 2, 1)
        _initialise(self, _STD if not spectral else None)
        if spectral:
            for module in [*self.features, self.judge]:
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    spectral_norm(module)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N,) of pictures (N, C, side, side), -1..1."""
        found = self.features(pictures)
        spread = torch.sqrt(found.var(dim=0, unbiased=False) + 1e-8).mean().reshape(1, 1, 1, 1)
        varied = spread.expand(found.shape[0], 1, *found.shape[2:])
        return self.judge(torch.cat([found, varied], dim=1).flatten(1)).squeeze(1)


def _initialise(network: nn.Module, std: float | None) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if std is None:
                nn.init.orthogonal_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _STD)
