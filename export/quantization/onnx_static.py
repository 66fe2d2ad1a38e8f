"""INT8 with measured ranges: quantise and dequantise nodes around what computes in integers.

One set of ranges serves two graphs. For ONNX Runtime on a CPU every operator it has an integer kernel for is
quantised, in and out, with biases as int32. TensorRT rejects that graph: it takes signed symmetric numbers,
a pair of nodes for each reader, weights quantised in the graph and biases left alone, around what has
weights only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from export.onnx_graph import strip_notes
from export.quantization.integer_types import TENSORRT_TYPES, IntegerTypes
from export.quantization.onnx_compact import compact, names_in
from export.recipe import PER_CHANNEL
from runtimes import EngineError
from runtimes.errors import first_line

if TYPE_CHECKING:
    import onnx

CPU, TENSORRT = "cpu", "tensorrt"

WEIGHTED = ("Conv", "Gemm", "MatMul")
_CPU_OPERATORS = (
    *WEIGHTED,
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Flatten",
    "GlobalAveragePool",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "Pad",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""What ONNX Runtime computes or moves in integers; softmax and normalisations lose too much that way."""

_TENSORRT_OPTIONS: dict[str, Any] = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "DedicatedQDQPair": True,
    "QuantizeBias": False,
    # Between a convolution and its activation a pair would keep TensorRT from fusing the two.
    "OpTypesToExcludeOutputQuantization": list(WEIGHTED),
}


def quantize_static_qdq(
    payload: bytes,
    ranges: Mapping[str, tuple[float, float]],
    *,
    target: str,
    types: IntegerTypes,
    granularity: str,
    keep_nodes: Collection[str],
) -> bytes:
    """A quantised copy of an fp32 model. Input, output and the batch's freedom stay as they are.

    Args:
        payload: A complete fp32 ONNX model.
        ranges: Lowest and highest value of its activations, as `measure_ranges` gives them.
        target: `CPU` for ONNX Runtime, `TENSORRT` for the graph that TensorRT's builders accept.
        types: Integers to use on the CPU; TensorRT has but one choice.
        granularity: ``per-channel`` or ``per-tensor`` scales of weights.
        keep_nodes: Names of nodes that stay in fp32.

    Raises:
        EngineError: ONNX Runtime's quantiser refuses the model.
    """
    import onnx

    model = onnx.load_from_string(strip_notes(payload))
    known = names_in(model)
    if target == TENSORRT:
        types, operators, options = TENSORRT_TYPES, WEIGHTED, dict(_TENSORRT_OPTIONS)
    else:
        operators, options = _CPU_OPERATORS, {"WeightSymmetric": True, "ActivationSymmetric": types.symmetric}
    quantizer_options = {
        "per_channel": granularity == PER_CHANNEL,
        "nodes_to_exclude": sorted(keep_nodes),
        "op_types_to_quantize": list(operators),
        "extra_options": options,
    }
    try:
        quantized = _quantize(model, ranges, types, quantizer_options)
    except Exception as error:  # the quantiser raises whatever it stumbles over
        raise EngineError(
            "ONNX quantiser",
            got=first_line(error),
            expected="a graph onnxruntime.quantization can quantise",
            fix="Keep the layer in question in fp32 with --keep, or choose another precision.",
        ) from error
    if target == CPU:  # TensorRT's engines take nothing from the graph but its layers' names
        compact(quantized, known)
    return strip_notes(quantized.SerializeToString())


def _quantize(
    model: onnx.ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    types: IntegerTypes,
    options: dict[str, Any],
) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import TensorData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    named = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
    bounds = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    quantizer = QDQQuantizer(
        model=model,
        reduce_range=types.reduce_range,
        weight_qType=named[types.weight],
        activation_qType=named[types.activation],
        tensors_range=bounds,
        nodes_to_quantize=[],
        **options,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model
