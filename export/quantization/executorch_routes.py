"""How a baked module becomes the program that ExecuTorch lowers, one function per precision."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from export.bake import example_input, open_axes
from export.lowering import Request
from export.quantization.executorch_int8 import (
    calibration_batches,
    calibration_record,
    quantise_dynamic,
    quantise_static,
    quantizer_for,
    read_back,
)
from export.recipe import FP32, INT4_WEIGHTS, INT8, INT8_DYNAMIC
from runtimes import UsageError
from sdk.spec import Spec

PER_GROUP = 32
"""Weights that share one 4-bit scale, along a linear layer's inputs: XNNPACK's smallest block."""


@dataclass(frozen=True)
class Route:
    """What is lowered, and what is known of it.

    Attributes:
        program: An `ExportedProgram` of the baked module.
        precision: The evidence's record of what computes in which type.
        calibration: The evidence's record of ranges.
    """

    program: Any
    precision: dict[str, Any]
    calibration: dict[str, Any] = field(default_factory=dict)


def take_route(module: nn.Module, spec: Spec, request: Request, *, weight_bits: int = 8) -> Route:
    """The program for a request.

    Args:
        module: What `export.bake.bake` composed.
        spec: Of that module.
        request: Recipe, batch and calibration data.
        weight_bits: Of ``int8``: 4 confines weights to -7..7, to see what so few values cost.

    Raises:
        ProofError: A layer gives NaN on calibration data.
        UsageError: The network has nothing that this precision is for.
    """
    routes: dict[str, Callable[[], Route]] = {
        FP32: lambda: _fp32(module, spec, request),
        INT8: lambda: _int8(module, spec, request, weight_bits),
        INT8_DYNAMIC: lambda: _int8_dynamic(module, spec, request),
        INT4_WEIGHTS: lambda: _int4_weights(module, spec, request),
    }
    route = routes[request.precision]()
    return replace(route, precision={"requested": request.precision, **route.precision})


def export_program(module: nn.Module, spec: Spec, max_batch: int) -> Any:
    """Trace with a batch from 1 to `max_batch`."""
    inputs = example_input(spec, batch=min(2, max_batch))
    batch = torch.export.Dim("batch", min=1, max=max_batch) if max_batch > 1 else None
    shapes: tuple[Any, ...] = open_axes(spec, batch)
    # `Baked` takes `*inputs`, one argument of many parts; a graph traced from it takes them one by one.
    flat = isinstance(module, torch.fx.GraphModule)
    return torch.export.export(module, inputs, dynamic_shapes=shapes if flat else (shapes,))


def _fp32(module: nn.Module, spec: Spec, request: Request) -> Route:
    count = sum(parameter.numel() for parameter in module.parameters())
    return Route(export_program(module, spec, request.max_batch), {"weights": {"float32": count}})


def _int8(module: nn.Module, spec: Spec, request: Request, weight_bits: int) -> Route:
    recipe, calibration = request.recipe, request.calibration
    assert calibration is not None, "the pipeline gives calibration data where `calibrates` says so"
    program = export_program(module, spec, request.max_batch)
    batches = calibration_batches(calibration, spec, request.max_batch)
    converted, ranges = quantise_static(program, quantizer_for(recipe, weight_bits=weight_bits), batches)
    return Route(
        export_program(converted, spec, request.max_batch),
        {**read_back(converted), "kept": list(recipe.keep)},
        calibration_record(recipe, calibration, ranges),
    )


def _int8_dynamic(module: nn.Module, spec: Spec, request: Request) -> Route:
    _require_linear(module, request.precision, 1)
    program = export_program(module, spec, request.max_batch)
    quantizer = quantizer_for(request.recipe, dynamic=True)
    converted = quantise_dynamic(program, quantizer, example_input(spec, batch=1))
    exported = export_program(converted, spec, request.max_batch)
    return Route(exported, {**read_back(converted), "activations": "measured while running"})


def _int4_weights(module: nn.Module, spec: Spec, request: Request) -> Route:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerGroup, quantize_

    linear = _require_linear(module, request.precision, PER_GROUP)
    module = copy.deepcopy(module)
    config = Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int4, weight_granularity=PerGroup(PER_GROUP)
    )
    quantize_(module, config, lambda _, name: name in linear)
    weights: Counter[str] = Counter()
    for name, parameter in module.named_parameters():
        small = name.removesuffix(".weight") in linear and name.endswith(".weight")
        weights["int4" if small else "float32"] += parameter.numel()
    precision = {
        "nodes": {"Linear": {"int4": len(linear)}},
        "weights": dict(weights),
        "activations": "int8, measured while running",
    }
    return Route(export_program(module, spec, request.max_batch), precision)


def _require_linear(module: nn.Module, precision: str, multiple: int) -> list[str]:
    """Names of the linear layers whose inputs come in multiples of `multiple`."""
    found = [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear) and child.in_features % multiple == 0
    ]
    if not found:
        inputs = f" with a multiple of {multiple} inputs" if multiple > 1 else ""
        raise UsageError(
            "Option --precision",
            got=f"{precision} for a network without linear layers{inputs}",
            expected="some: for .pte, XNNPACK has it for linear layers alone",
            fix="Use --precision int8, which covers convolutions.",
        )
    return found
