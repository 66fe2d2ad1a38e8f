"""FP16 as a strongly typed graph: the network in half precision, everything around it as it was.

Types are written into the graph itself, because TensorRT 11 and TensorRT-RTX have no switch for FP16, and so
that every engine computes in the same precision. Inputs and outputs, the normalisation of pixels (their
0..255 range and small standard deviations lose digits in half) and the final activation stay in fp32; the
one cast down stands right before the network, the one cast up right behind it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from export.bakers.baked import Baked
from runtimes import ProofError

LARGEST_HALF = torch.finfo(torch.float16).max


class HalfNetwork(nn.Module):
    """A half-precision copy of a network behind fp32 inputs and outputs.

    Args:
        network: Called with tensors; returns a tensor, or tuples, lists or dicts of them. Not changed.

    Raises:
        ProofError: A weight does not fit into half precision.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        _require_range(network)
        self.network = copy.deepcopy(network).half()

    def forward(self, *inputs: Tensor) -> Any:
        """Run in half precision; integer tensors pass as they are."""
        return _cast(self.network(*_cast(inputs, torch.float16)), torch.float32)


def halve(module: Baked) -> Baked:
    """A copy of a baked module whose network computes in half precision.

    Args:
        module: What `export.bake.bake` gives with ``fold=False``: folded, the raw 0..255 range would
            meet the first convolution in half precision.

    Raises:
        ProofError: A weight does not fit into half precision.
    """
    prelude, head = copy.deepcopy(module.prelude), copy.deepcopy(module.head)
    return Baked(prelude, HalfNetwork(module.network), head).eval()


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, dtype) for item in value)
    return value


def _require_range(network: nn.Module) -> None:
    for name, tensor in network.state_dict().items():
        # `not <=` catches NaN as well.
        if tensor.is_floating_point() and tensor.numel() and not tensor.abs().max() <= LARGEST_HALF:
            raise ProofError(
                f"Weight '{name}'",
                got=f"magnitude {float(tensor.abs().max()):.3g}",
                expected=f"at most {LARGEST_HALF:g}, the largest number in half precision",
                fix="Export with --precision fp32, or train with weight decay.",
            )
