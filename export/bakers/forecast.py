"""Bake the calibrated spread of a forecast; its scaling is part of the network already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sdk.outputs.forecast import ForecastOutput
from sdk.spec import Spec

if TYPE_CHECKING:
    from runtimes import TensorInfo


class Spread(nn.Module):
    """Quantiles moved away from, or towards, their median by a factor per level.

    Args:
        factors: One per level, the median's among them.
    """

    def __init__(self, factors: tuple[float, ...]) -> None:
        super().__init__()
        self.middle = len(factors) // 2
        self.register_buffer("factors", torch.tensor(factors))

    def forward(self, found: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """From quantiles (N, H, levels), or a tuple with them in front."""
        quantiles = found[0] if isinstance(found, tuple) else found
        median = quantiles[..., self.middle : self.middle + 1]
        spread: Tensor = median + (quantiles - median) * self.factors
        return (spread, *found[1:]) if isinstance(found, tuple) else spread


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The spread as a module; the graph's outputs keep their names and shapes."""
    output = spec.output
    assert isinstance(output, ForecastOutput)
    return Spread(output.spread), spec.graph().outputs
