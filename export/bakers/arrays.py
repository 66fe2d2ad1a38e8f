"""Plain arrays: nothing of them moves into the graph."""

from __future__ import annotations

from torch import Tensor, nn

from runtimes import TensorInfo
from sdk.spec import Spec


class AsTheyAre(nn.Module):
    """One tensor as it is; several as a tuple, for the network to take one by one."""

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Hand them on."""
        return tensors[0] if len(tensors) == 1 else tensors


def bake_input(
    network: nn.Module,
    spec: Spec,
    fold: bool,  # noqa: ARG001
) -> tuple[nn.Module, nn.Module, tuple[TensorInfo, ...]]:
    """A prelude that does nothing, the network, and the graph's inputs as they were."""
    return AsTheyAre(), network, spec.graph().inputs


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """A head that does nothing, and the graph's outputs as they were."""
    return nn.Identity(), spec.graph().outputs
