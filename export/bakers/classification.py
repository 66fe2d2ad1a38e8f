"""Bake a classifier's activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from export.class_maps import UprightMaps
from sdk.explain.explaining import MAPS
from sdk.inputs.image import ImageInput
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
        """Scores (N, classes), activated."""
        if self.temperature != 1.0:
            scores = scores / self.temperature
        if self.name == "softmax":
            return torch.softmax(scores, dim=1)
        return torch.sigmoid(scores) if self.name == "sigmoid" else scores


class _WithMaps(nn.Module):
    """Scores, activated, and class activation maps as they are."""

    def __init__(self, activation: nn.Module, views: tuple[str, ...]) -> None:
        super().__init__()
        self.activation = activation
        self.upright = UprightMaps(views)

    def forward(self, found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """From what `export.class_maps` makes of a network."""
        scores, maps = found
        return self.activation(scores), self.upright(maps)


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The activation as a module; the graph's outputs keep their names and shapes."""
    output = spec.output
    assert isinstance(output, ClassificationOutput)
    activation: nn.Module = _Activation(output.activation, output.temperature)
    if isinstance(spec.input, ImageInput) and any(info.name == MAPS for info in spec.graph().outputs):
        activation = _WithMaps(activation, spec.input.views)
    return activation, spec.graph().outputs
