"""Bake a classifier's activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sdk.outputs.classification import ClassificationOutput
from sdk.spec import Spec

if TYPE_CHECKING:
    from runtimes import TensorInfo


class _Activation(nn.Module):
    def __init__(self, name: str, temperature: float) -> None:
        super().__init__()
        self.name = name
        self.temperature = temperature

    def forward(self, scores: Tensor) -> Tensor:
        if self.temperature != 1.0:
            scores = scores / self.temperature
        if self.name == "softmax":
            return torch.softmax(scores, dim=1)
        return torch.sigmoid(scores) if self.name == "sigmoid" else scores


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The activation as a module; the graph's outputs keep their names and shapes."""
    output = spec.output
    assert isinstance(output, ClassificationOutput)
    return _Activation(output.activation, output.temperature), spec.graph().outputs
