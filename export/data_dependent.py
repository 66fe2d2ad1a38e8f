"""Networks in which the extent of a tensor depends on the picture: what can hold them, how they are traced.

A network says so itself, with a class attribute ``data_dependent_operators``: the operators behind it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from export.recipe import FP32, Recipe
from runtimes import EngineError, UsageError
from runtimes.errors import first_line
from sdk.spec import Spec

if TYPE_CHECKING:
    from torch import nn

OPSET = 17
"""The newest that torchvision's translations of its own operators are written for (torchvision 0.29)."""
_WHY = {
    "pte": "ExecuTorch has no kernel for {operators}",
    "trt": "TensorRT-RTX 1.7 has neither NonZero nor NonMaxSuppression, which {operators} need",
    "trt-onnx": "TensorRT-RTX 1.7 has neither NonZero nor NonMaxSuppression, which {operators} need",
    "torch2trt": "torch2trt has no converter for {operators}",
}


def data_dependent_operators(network: nn.Module) -> tuple[str, ...]:
    """The operators of a network whose outputs' extents depend on the data; none for most."""
    operators: tuple[str, ...] = getattr(network, "data_dependent_operators", ())
    return operators


def require_holdable(network: nn.Module, target: str, recipe: Recipe) -> None:
    """Refuse before any work what no compiler behind a target can do.

    Raises:
        EngineError: The target cannot hold an operator of the network.
        UsageError: The precision needs a trace that such a network does not have.
    """
    operators = data_dependent_operators(network)
    if not operators:
        return
    named = " and ".join(operators)
    if target in _WHY:
        raise EngineError(
            f"Target {target!r}",
            got=f"a network with {named}",
            expected="operators whose outputs have extents that are known beforehand",
            fix=f"Export to onnx: {_WHY[target].format(operators=named)}.",
        )
    if recipe.precision != FP32:
        raise UsageError(
            "Option --precision",
            got=f"{recipe.precision} for a network with {named}",
            expected=FP32,
            fix="Leave it out: ranges are measured along a trace that such a network does not have.",
        )


def trace_script(module: nn.Module, spec: Spec, inputs: tuple[Any, ...]) -> tuple[bytes, Spec]:
    """An ONNX model by the TorchScript exporter, which follows one picture through the network.

    ``torch.export``, which all else is traced by, stops where an extent depends on data (torch 2.14).

    Args:
        module: Baked.
        spec: Of `module`.
        inputs: One item each.

    Returns:
        A complete model for one item a call, and its spec.

    Raises:
        EngineError: The exporter refuses the network.
    """
    import torch

    graph = spec.graph()
    file = io.BytesIO()
    try:
        torch.onnx.export(
            module,
            inputs,
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[info.name for info in graph.inputs],
            output_names=[info.name for info in graph.outputs],
        )
    except Exception as error:  # the exporter raises whatever the network's code does
        raise EngineError(
            "ONNX export",
            got=first_line(error),
            expected="a network that can be followed with one picture",
            fix="Replace the operator that the message names.",
        ) from error
    return file.getvalue(), spec.with_max_batch(1)
