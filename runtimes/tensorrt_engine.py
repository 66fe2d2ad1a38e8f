"""Opening a TensorRT plan: engine, execution context, and what its inputs and outputs are.

Only the interface by tensor name is used, which TensorRT has had since 8.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from runtimes.base import Dim, Program, TensorInfo
from runtimes.errors import EngineError
from runtimes.tensorrt_package import Package, numpy_name

_PROFILE = 0
Bounds = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def deserialise(package: Package, plan: bytes, device_name: str) -> tuple[Any, Any]:
    """Turn a plan into TensorRT's runtime and an engine on the current GPU; the runtime must outlive it.

    Raises:
        EngineError: TensorRT refused: another GPU model, another version, or no plan.
    """
    trt = package.module
    package.log.errors.clear()
    try:
        runtime = trt.Runtime(package.log)
        engine = runtime.deserialize_cuda_engine(plan)
    except (TypeError, RuntimeError) as error:  # the binding's answer to a null pointer
        raise _refused(package, device_name) from error
    if engine is None:
        raise _refused(package, device_name)
    return runtime, engine


def create_context(package: Package, engine: Any, cuda_graph: bool) -> tuple[Any, bool]:
    """An execution context, and whether it records CUDA graphs by itself (TensorRT-RTX 1.2 and later).

    Raises:
        EngineError: There is not enough GPU memory.
    """
    package.log.errors.clear()
    config: Any = None
    if cuda_graph and hasattr(engine, "create_runtime_config"):
        config = engine.create_runtime_config()
    inside = hasattr(config, "cuda_graph_strategy")
    if inside:
        # RTX first runs fallback kernels and compiles those for the shape meanwhile: recording from
        # outside would keep the slow ones, so it is told to record when it is ready.
        config.cuda_graph_strategy = package.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    if context is None:
        raise EngineError(
            f"{package.name} engine",
            got=f"no execution context ({package.complaint()})",
            expected="enough GPU memory for one",
            fix="Free GPU memory, or build with a smaller --max-batch.",
        )
    return context, inside


def bindings(
    trt: Any, engine: Any, context: Any, program: Program
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and outputs of an engine, in the program's order where it declares one.

    Bounds of varying dimensions are those of optimisation profile 0.

    Raises:
        EngineError: The engine does not have what the program declares, or has something that
            cannot be fed from plain arrays.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    for name in names:
        _require_plain(trt, engine, name)
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    bounds = _bounds(engine, context, inputs, outputs)
    return (
        _ordered("input", tuple(_info(engine, name, bounds) for name in inputs), program.inputs),
        _ordered("output", tuple(_info(engine, name, bounds) for name in outputs), program.outputs),
    )


def _require_plain(trt: Any, engine: Any, name: str) -> None:
    dtype = numpy_name(engine.get_tensor_dtype(name))
    problem = None
    if not hasattr(np, dtype) and dtype != "bool":
        problem = f"element type {dtype}, which numpy does not have"
    elif engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
        problem = "a shape tensor, whose values decide other shapes"
    elif engine.get_tensor_format(name) != trt.TensorFormat.LINEAR:
        problem = f"memory layout {engine.get_tensor_format(name).name}"
    if problem:
        raise EngineError(
            f"TensorRT tensor '{name}'",
            got=problem,
            expected="a plain array in row-major order",
            fix="Run `edgewright build MODEL.onnx` on this device.",
        )


def _bounds(engine: Any, context: Any, inputs: list[str], outputs: list[str]) -> Bounds:
    """Smallest and largest shape of every tensor, the outputs' found by asking the context."""
    profiles = {name: _profile(engine, name) for name in inputs}
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in outputs}
    for end in (0, 1):
        for name in inputs:
            if not context.set_input_shape(name, profiles[name][end]):
                raise EngineError(
                    f"TensorRT input '{name}'",
                    got=f"{profiles[name][end]} refused",
                    expected="the bounds of its own profile",
                    fix="Build the engine again.",
                )
        for name in outputs:
            shapes[name].append(tuple(context.get_tensor_shape(name)))
    unknown = [name for name in outputs if any(extent < 0 for shape in shapes[name] for extent in shape)]
    if unknown:
        raise EngineError(
            f"TensorRT output '{unknown[0]}'",
            got="a shape that depends on the data",
            expected="one that follows from the input shapes",
            fix="Export the model with fixed-size outputs.",
        )
    return {**profiles, **{name: (shapes[name][0], shapes[name][1]) for name in outputs}}


def _profile(engine: Any, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = tuple(engine.get_tensor_shape(name))
    if all(extent >= 0 for extent in shape):
        return shape, shape
    smallest, _, largest = engine.get_tensor_profile_shape(name, _PROFILE)
    return tuple(smallest), tuple(largest)


def _info(engine: Any, name: str, bounds: Bounds) -> TensorInfo:
    low, high = bounds[name]
    shape = tuple(a if a == b else Dim(min(a, b), max(a, b)) for a, b in zip(low, high, strict=True))
    return TensorInfo(name, numpy_name(engine.get_tensor_dtype(name)), shape)


def _ordered(
    role: str, found: tuple[TensorInfo, ...], declared: tuple[TensorInfo, ...]
) -> tuple[TensorInfo, ...]:
    if not declared:
        return found
    have = {info.name: info for info in found}
    if {_signature(info) for info in found} != {_signature(info) for info in declared}:
        raise EngineError(
            f"TensorRT {role}s",
            got=", ".join(f"'{info.name}' {info}" for info in found),
            expected=", ".join(f"'{info.name}' {info}" for info in declared),
            fix="Build the engine from the .onnx that carries this contract.",
        )
    return tuple(have[info.name] for info in declared)


def _signature(info: TensorInfo) -> tuple[str, str, int]:
    return info.name, info.dtype, len(info.shape)


def _refused(package: Package, device_name: str) -> EngineError:
    return EngineError(
        "TensorRT plan",
        got=f"{package.name} {package.version} refusing it on {device_name} ({package.complaint()})",
        expected="a plan built on this device model with this version: engines do not move between them",
        fix="Run `edgewright build MODEL.onnx` on this device.",
    )
