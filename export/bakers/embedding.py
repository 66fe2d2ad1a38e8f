"""Bake an embedding's unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sdk.outputs.embedding import SMALLEST_SQUARE
from sdk.spec import Spec

if TYPE_CHECKING:
    from runtimes import TensorInfo


class UnitLength(nn.Module):
    """Vectors (N, D) scaled to length one, by the formula of `sdk.outputs.embedding.unit_length`."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Scale each row."""
        squares = (vectors * vectors).sum(dim=1, keepdim=True)
        return vectors / torch.sqrt(squares.clamp(min=SMALLEST_SQUARE))


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The scaling as a module; the graph's outputs keep their names and shapes."""
    return UnitLength(), spec.graph().outputs
