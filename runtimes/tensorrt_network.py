"""From ONNX bytes to a parsed TensorRT network: its precision, and the range of its input shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from runtimes.base import Dim, TensorInfo
from runtimes.errors import EngineError, UsageError, first_line
from runtimes.tensorrt_layers import FP16, FP32, INT8, Layer, network_layers
from runtimes.tensorrt_options import BuildOptions, ShapeRange
from runtimes.tensorrt_package import Package, numpy_name, shortened

_EXPORT = {
    FP32: "--to onnx --precision fp32",
    FP16: "--to onnx --precision fp16",
    INT8: "--to trt-onnx --precision int8",
}
_QUANTISERS = re.compile(r"QuantizeLinear|zero.?point", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """A network that is ready to be built.

    Attributes:
        builder: TensorRT's builder, which the network belongs to.
        network: The parsed network.
        layers: Its layers.
        precision: What it will be built in.
        typed: Whether the network's own types decide the precision. Without, the builder chooses, and
            only the finished engine tells.
    """

    builder: Any
    network: Any
    layers: tuple[Layer, ...]
    precision: str
    typed: bool


def parse(package: Package, onnx_bytes: bytes, precision: str | None) -> Parsed:
    """Parse a graph so that it can be built in `precision` (None: what the graph is in).

    TensorRT 10 and later take a strongly typed network wherever the graph has the precision. An FP32
    graph becomes an FP16 engine only where the builder still has its FP16 switch (up to TensorRT 10), and
    never an INT8 one: that takes the ranges which a Q/DQ graph holds.

    Raises:
        EngineError: TensorRT cannot parse it.
        UsageError: The graph has the other precision, and nothing here can change that.
    """
    trt = package.module
    can_type = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    has_switch = hasattr(trt.BuilderFlag, "FP16")
    builder, network = _parsed(package, onnx_bytes, can_type)
    layers = network_layers(network)
    graph = _precision_of(layers, can_type)
    wanted = precision or graph
    if wanted == graph:
        return Parsed(builder, network, layers, wanted, can_type)
    if (wanted, graph) != (FP16, FP32) or not has_switch:
        raise UsageError(
            "ONNX graph",
            got=f"one in {graph}",
            expected=f"one in {wanted}: {package.name} {package.version} builds what the graph says",
            fix=f"Run `edgewright export CHECKPOINT {_EXPORT[wanted]}` first.",
        )
    builder, network = _parsed(package, onnx_bytes, typed=False)
    return Parsed(builder, network, network_layers(network), wanted, typed=False)


def add_profile(parsed: Parsed, config: Any, options: BuildOptions) -> tuple[TensorInfo, ...]:
    """Give the builder one optimisation profile that spans the axes which the ONNX graph leaves open.

    Returns:
        The inputs with their bounds.

    Raises:
        UsageError: An option does not fit the graph's axes.
        EngineError: TensorRT refused the range.
    """
    profile = parsed.builder.create_optimization_profile()
    infos, varies = [], False
    for index in range(parsed.network.num_inputs):
        tensor = parsed.network.get_input(index)
        shape = tuple(tensor.shape)
        low, best, high = _range(tensor.name, shape, options)
        if low != high or -1 in shape:
            varies = True
            profile.set_shape(tensor.name, low, best, high)
        bounds = tuple(a if a == b else Dim(a, b) for a, b in zip(low, high, strict=True))
        infos.append(TensorInfo(tensor.name, numpy_name(tensor.dtype), bounds))
    if varies and config.add_optimization_profile(profile) < 0:
        raise EngineError(
            "TensorRT optimisation profile",
            got=", ".join(map(str, infos)),
            expected="a range that the graph allows",
            fix="Correct the shapes.",
        )
    return tuple(infos)


def output_dtypes(parsed: Parsed) -> dict[str, str]:
    """Numpy dtype by output name."""
    outputs = (parsed.network.get_output(index) for index in range(parsed.network.num_outputs))
    return {tensor.name: numpy_name(tensor.dtype) for tensor in outputs}


def _parsed(package: Package, onnx_bytes: bytes, typed: bool) -> tuple[Any, Any]:
    trt = package.module
    package.log.errors.clear()
    try:
        builder = trt.Builder(package.log)
    except (TypeError, RuntimeError) as error:  # the binding's answer to a null pointer
        raise EngineError(
            f"{package.name} builder",
            got=f"{first_line(error)} ({package.complaint()})",
            expected="a builder",
            fix="Check the driver with nvidia-smi.",
        ) from error
    network = builder.create_network(_flags(trt.NetworkDefinitionCreationFlag, typed))
    parser = trt.OnnxParser(network, package.log)
    if not parser.parse(onnx_bytes):
        raise _refused(package, _parser_error(package, parser))
    if network.num_outputs == 0:
        raise EngineError(
            "ONNX graph",
            got=f"{len(onnx_bytes)} bytes without any output",
            expected="a model",
            fix="Export the checkpoint again.",
        )
    return builder, network


def _flags(flags: Any, typed: bool) -> int:
    names = ["EXPLICIT_BATCH"]  # asked for up to TensorRT 9, ignored in 10, gone in 11
    if typed:
        names.append("STRONGLY_TYPED")
    return sum(1 << int(getattr(flags, name)) for name in names if hasattr(flags, name))


def _precision_of(layers: tuple[Layer, ...], typed: bool) -> str:
    if any(layer.computes and layer.dtype == "int8" for layer in layers):
        return INT8
    return FP16 if any(_is_half(layer, typed) for layer in layers) else FP32


def _is_half(layer: Layer, typed: bool) -> bool:
    # Before the build, a network that is not strongly typed tells the types of constants and casts only.
    return layer.dtype == "float16" and (layer.computes or not typed)


def _refused(package: Package, got: str) -> EngineError:
    if _QUANTISERS.search(got):
        return EngineError(
            f"{package.name} parser",
            got=got,
            expected="an int8 graph made for TensorRT: signed, zero-points of 0, biases in float",
            fix=f"Run `edgewright export CHECKPOINT {_EXPORT[INT8]}`; int8 graphs of `--to onnx` are for "
            "ONNX Runtime.",
        )
    return EngineError(
        f"{package.name} parser",
        got=got,
        expected="an ONNX model, complete in one file, of operators that TensorRT has",
        fix="Change that operator in the network, or use the .onnx artifact.",
    )


def _parser_error(package: Package, parser: Any) -> str:
    if not parser.num_errors:
        return package.complaint()
    error = parser.get_error(0)
    lines = [line for line in error.desc().splitlines() if line.strip() and "catchCudaError" not in line]
    place = f"node {error.node()}" if error.node() >= 0 else "the file"
    if hasattr(error, "node_operator") and error.node_operator():  # TensorRT 10 and later
        place = f"node '{error.node_name()}' ({error.node_operator()})"
    return f"{place}: {shortened('; '.join(lines))}"


def _range(name: str, shape: tuple[int, ...], options: BuildOptions) -> ShapeRange:
    open_axes = [axis for axis, extent in enumerate(shape) if extent < 0]
    if name in options.shapes:
        return options.shapes[name]
    if not open_axes:
        if options.max_batch is not None and options.max_batch != shape[0]:
            raise UsageError(
                "Option 'max_batch'",
                got=str(options.max_batch),
                expected=f"{shape[0]}, the fixed batch of input '{name}'",
                fix="Leave it out, or export the graph with a dynamic batch.",
            )
        return shape, shape, shape
    if open_axes != [0]:
        raise UsageError(
            f"Input '{name}'",
            got=f"open axes {open_axes}",
            expected="none but the batch, or a range in 'shapes'",
            fix="Name smallest, best and largest shape of this input.",
        )
    best, largest = options.batch
    rest = shape[1:]
    return (1, *rest), (best, *rest), (largest, *rest)
