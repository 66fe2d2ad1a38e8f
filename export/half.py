"""FP16 as a strongly typed graph: half precision, with islands of fp32 where measuring says so.

Types are written into the graph itself, because TensorRT 11 and TensorRT-RTX have no switch for FP16, and so
that every engine computes in the same precision. Inputs and outputs, the normalisation of pixels (their
0..255 range and small standard deviations lose digits in half) and the final activation stay in fp32.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from export.half_check import require_finite
from export.half_convert import to_half
from export.half_islands import find_islands
from export.half_types import HalfTypes
from export.recipe import MINMAX
from runtimes import ProofError
from sdk.spec import Spec

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from export.calibration import CalibrationSet

_MULTIPLIES = ("Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN")


def lower_to_half(
    network: nn.Module, spec: Spec, calibration: CalibrationSet | None
) -> tuple[bytes, Spec, dict[str, Any], dict[str, Any]]:
    """A checkpoint's network as a strongly typed fp16 ONNX model.

    Args:
        network: The checkpoint's network, fp32, eval mode.
        spec: Its spec.
        calibration: What to measure ranges on.

    Returns:
        The model, the spec of its graph, `halve`'s record, and the record of the calibration.

    Raises:
        EngineError: The exporter or ONNX Runtime refuses the network.
        ProofError: Half precision gives NaN or infinity on calibration data, or nothing is left to be half.
    """
    from export.onnx_graph import trace_onnx
    from export.quantization.onnx_layers import nodes_outside

    assert calibration is not None, (
        "the pipeline gives calibration data where `Recipe.needs_calibration` says so"
    )
    noted, baked_spec = trace_onnx(network, spec, fold=False)
    payload, record, calibrated = halve(noted, baked_spec, calibration, nodes_outside(noted))
    return payload, baked_spec, record, calibrated


def halve(
    payload: bytes, spec: Spec, calibration: CalibrationSet, outside: list[str]
) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """An fp32 ONNX model in half precision, and what had to stay in fp32.

    Args:
        payload: The fp32 model, with the normalisation of inputs in nodes of its own: folded into the first
            convolution, the raw 0..255 range would meet it in half precision.
        spec: Of that graph.
        calibration: What to measure ranges on.
        outside: Names of the nodes before and behind the network, which stay in fp32.

    Returns:
        The model; its record with ``islands`` (nodes in fp32, counted by operator), ``reasons`` (their names
        by reason) and ``kept_nodes`` (names of the convolutions and matrix products among them); and the
        record of the calibration.

    Raises:
        ProofError: Half precision gives NaN or infinity on calibration data, or nothing is left to be half.
        EngineError: ONNX Runtime refuses the model.
    """
    from export.onnx_graph import strip_notes
    from export.quantization.onnx_ranges import measure_ranges

    calibrated = measure_ranges(strip_notes(payload), spec, calibration, MINMAX)
    model = _prepared(payload)
    types = HalfTypes(model)
    islands = find_islands(model.graph, calibrated.ranges, outside, types)
    _require_some_half(model, islands)
    half = to_half(model, islands, types)
    require_finite(half, spec, calibration)
    return strip_notes(half.SerializeToString()), _record(model, islands), calibrated.record


def _prepared(payload: bytes) -> onnx.ModelProto:
    """With the types of all tensors, constants among the weights, and a name for every node."""
    import onnx
    import onnx.inliner

    model = onnx.inliner.inline_local_functions(onnx.load_from_string(payload))
    nodes, names = [], Counter(node.name for node in model.graph.node)
    for index, node in enumerate(model.graph.node):
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            weight = model.graph.initializer.add()
            weight.CopyFrom(value)
            weight.name = node.output[0]
            continue
        if not node.name or names[node.name] > 1:
            node.name = f"{node.op_type}_{index}"
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(model)


def _record(model: onnx.ModelProto, islands: dict[str, str]) -> dict[str, Any]:
    operators = {node.name: node.op_type for node in model.graph.node}
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in islands.items():
        reasons[reason].append(name)
    return {
        "islands": dict(sorted(Counter(operators[name] for name in islands).items())),
        "reasons": dict(reasons),
        "kept_nodes": [name for name in islands if operators[name] in _MULTIPLIES],
    }


def _require_some_half(model: onnx.ModelProto, islands: dict[str, str]) -> None:
    heavy = [node.name for node in model.graph.node if node.op_type in _MULTIPLIES]
    if not heavy or any(name not in islands for name in heavy):
        return
    raise ProofError(
        "Half precision",
        got=f"{heavy[0]!r} and every other convolution or matrix product needing fp32 ({islands[heavy[0]]})",
        expected="some that can do without",
        fix="Export with --precision fp32, or train with weight decay and normalisation layers.",
    )
