"""The fast style-transfer network: a photo in, the same photo painted out, in one pass.

After Johnson, Alahi and Fei-Fei (2016), "Perceptual losses for real-time style transfer", with the instance
normalisation of Ulyanov, Vedaldi and Lempitsky (2017), resizing in place of transposed convolutions (Odena,
Dumoulin and Olah 2016), and residual blocks of depthwise-separable convolutions. Nothing in it depends on the
size of the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtimes import SpecError
from train.networks.style_sizes import DEFAULT_BLOCKS, DEFAULT_WIDTH

_EPSILON = 1e-5
_ENDS_PX = 5
"""Kernel of the first and the last convolution."""


def build(width: int = DEFAULT_WIDTH, blocks: int = DEFAULT_BLOCKS) -> nn.Module:
    """The network with fresh weights.

    Args:
        width: Channels at the picture's full size; twice as many at half of it, four times at a quarter.
        blocks: Residual blocks at a quarter of the size.

    Raises:
        SpecError: One of them is below 1.
    """
    if min(width, blocks) < 1:
        raise SpecError(
            "spec.network.arguments",
            got=f"width {width}, blocks {blocks}",
            expected="at least 1 each",
            fix="Correct the spec.",
        )
    return StyleNetwork(width, blocks)


class StyleNetwork(nn.Module):
    """float32 (N, 3, H, W), 0..1, to the same: H and W multiples of 4, from `style_sizes.SMALLEST_PX`."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            _Layer(3, width, _ENDS_PX),
            _Layer(width, 2 * width, 3, stride=2),
            _Layer(2 * width, 4 * width, 3, stride=2),
        )
        self.blocks = nn.Sequential(*(_Block(4 * width) for _ in range(blocks)))
        self.decode = nn.Sequential(
            _Doubled(), _Layer(4 * width, 2 * width, 3), _Doubled(), _Layer(2 * width, width, 3)
        )
        self.paint = nn.Sequential(Mirrored(_ENDS_PX // 2), nn.Conv2d(width, 3, _ENDS_PX))

    def forward(self, image: Tensor) -> Tensor:
        """Paint one batch."""
        return torch.sigmoid(self.paint(self.decode(self.blocks(self.encode(image)))))


class Mirrored(nn.Module):
    """Padding that mirrors the picture at its borders, where zeros would paint a frame.

    Slices and a concatenation instead of ``F.pad(mode="reflect")``: XNNPACK takes them (executorch 1.5).
    """

    def __init__(self, px: int) -> None:
        super().__init__()
        self.px = px

    def forward(self, x: Tensor) -> Tensor:
        """From (N, C, H, W) to (N, C, H + 2 px, W + 2 px)."""
        inner = range(1, self.px + 1)
        left = [x[:, :, :, at : at + 1] for at in reversed(inner)]
        right = [x[:, :, :, -1 - at : -at] for at in inner]
        x = torch.cat([*left, x, *right], dim=3)
        above = [x[:, :, at : at + 1] for at in reversed(inner)]
        below = [x[:, :, -1 - at : -at] for at in inner]
        return torch.cat([*above, x, *below], dim=2)


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and deviation 1, then scaled and shifted by learned numbers.

    Written out, because XNNPACK takes the parts and not the whole (executorch 1.5).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) over H and W."""
        apart = x - x.mean(dim=(2, 3), keepdim=True)
        variance = (apart * apart).mean(dim=(2, 3), keepdim=True)
        return apart * (self.scale * torch.rsqrt(variance + _EPSILON)) + self.shift


class _Layer(nn.Sequential):
    """Padding, convolution, normalisation, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        # No bias: the normalisation takes it away again.
        convolution = nn.Conv2d(channels, out, kernel, stride, bias=False)
        super().__init__(Mirrored(kernel // 2), convolution, InstanceNorm(out), nn.ReLU())


class _Block(nn.Module):
    """Two separable convolutions beside a path that leaves the picture as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_separable(channels), nn.ReLU(), *_separable(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add what the block paints."""
        return x + self.body(x)


class _Doubled(nn.Module):
    """Twice as high and wide, every cell four times."""

    def forward(self, x: Tensor) -> Tensor:
        """From (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _separable(channels: int) -> tuple[nn.Module, ...]:
    return (
        Mirrored(1),
        nn.Conv2d(channels, channels, 3, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        InstanceNorm(channels),
    )
