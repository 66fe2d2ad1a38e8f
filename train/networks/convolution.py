"""The block that networks of our own are made of."""

from __future__ import annotations

from torch import nn


def convolution(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    """Zero-padded convolution, batch normalisation, ReLU: (N, inputs, H, W) to (N, outputs, H/s, W/s)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
