"""Bake the activation of class maps."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from runtimes import TensorInfo
from sdk.outputs.segmentation import PROBABILITIES, SegmentationOutput
from sdk.spec import Spec


class _MapActivation(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, maps: Tensor) -> Tensor:
        return torch.softmax(maps, dim=1) if self.name == "softmax" else maps


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The activation over the classes of each pixel as a module; the shape stays."""
    output = spec.output
    assert isinstance(output, SegmentationOutput)
    (maps,) = spec.graph().outputs
    return _MapActivation(output.activation), (replace(maps, name=PROBABILITIES),)
