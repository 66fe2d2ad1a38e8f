"""Small weights only: stored as integers, computed in floating point. The file shrinks, the time does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from export.onnx_graph import strip_notes
from export.quantization.onnx_compact import compact, names_in
from export.quantization.onnx_embeddings import store_embeddings_as_int8
from export.recipe import PER_CHANNEL
from runtimes import Array, EngineError, UsageError
from runtimes.errors import first_line

if TYPE_CHECKING:
    import onnx

_LARGEST_INT8 = 127
_BLOCK = 32
"""Weights that share a scale in four bits: the smallest that ONNX Runtime's kernel is fast with."""


def store_weights_as_int8(payload: bytes, granularity: str) -> bytes:
    """A copy that keeps weights of convolutions, linear and recurrent layers, and large embeddings, as int8.

    Symmetric: ``weight = scale * q`` with ``scale = max|weight| / 127``, per output channel or per weight.
    Written as a cast and a product, which ONNX Runtime computes once while it loads the model. It would
    repeat a DequantizeLinear in every run (1.31: twice the time of the fp32 graph on a small CNN).

    Args:
        payload: A complete fp32 ONNX model.
        granularity: ``per-channel`` or ``per-tensor``.

    Raises:
        UsageError: The graph has no such weight.
    """
    import onnx

    model = onnx.load_from_string(payload)
    graph, known = model.graph, names_in(model)
    axes = dict(_weight_axes(graph))
    _require_some(axes, "int8-weights", "convolution, linear or recurrent")
    kept, stored, nodes = [], [], []
    for weight in graph.initializer:
        if weight.name not in axes:
            kept.append(weight)
            continue
        axis = axes[weight.name] if granularity == PER_CHANNEL else None
        values, scale = _quantize(onnx.numpy_helper.to_array(weight), axis)
        small, wide, scales = (f"{weight.name}_{role}" for role in ("int8", "wide", "scale"))
        stored += [onnx.numpy_helper.from_array(values, small), onnx.numpy_helper.from_array(scale, scales)]
        nodes += [
            onnx.helper.make_node("Cast", [small], [wide], name=wide, to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Mul", [wide, scales], [weight.name], name=scales),
        ]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *stored])
    computing = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *computing])
    store_embeddings_as_int8(model)
    compact(model, known)
    return strip_notes(model.SerializeToString())


def store_weights_as_int4(payload: bytes) -> bytes:
    """A copy whose linear layers read weights of four bits, one scale for every 32 of them.

    ONNX Runtime has this for matrix products only (operator ``com.microsoft.MatMulNBits``).

    Args:
        payload: A complete fp32 ONNX model.

    Raises:
        UsageError: The graph has no matrix product with constant weights.
        EngineError: ONNX Runtime's quantiser refuses the model.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(onnx.load_from_string(strip_notes(payload)))
    model.replace_gemm_with_matmul()
    weights = {weight.name for weight in model.model.graph.initializer}
    products = [n.name for n in model.model.graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    _require_some(products, "int4-weights", "linear")
    try:
        quantizer = MatMulNBitsQuantizer(model.model, bits=4, block_size=_BLOCK, is_symmetric=True)
        quantizer.process()
    except Exception as error:  # the quantiser raises whatever it stumbles over
        raise EngineError(
            "ONNX quantiser",
            got=first_line(error),
            expected="a graph onnxruntime.quantization can quantise",
            fix="Use --precision int8-weights.",
        ) from error
    return strip_notes(quantizer.model.model.SerializeToString())


def _weight_axes(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Float weights of the layers in question, and the axis of their output channels."""
    import onnx

    floats = {w.name: len(w.dims) for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("GRU", "LSTM"):
            # (directions, gates, inputs), or (gates, inputs) where the exporter puts the former together.
            sources = {name for made in node.input[1:3] for name in _sources(made, makers)}
            yield from ((name, floats[name] - 2) for name in sources if floats.get(name, 0) > 1)
        elif len(node.input) < 2 or floats.get(node.input[1], 0) < 2:
            continue
        elif node.op_type in ("Conv", "ConvTranspose"):
            yield node.input[1], 0 if node.op_type == "Conv" else 1
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            yield node.input[1], 0 if transposed else 1
        elif node.op_type == "MatMul":
            yield node.input[1], floats[node.input[1]] - 1


def _sources(name: str, makers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """What a tensor is made from, down to what no node makes."""
    found, waiting, seen = set(), [name], set()
    while waiting:
        current = waiting.pop()
        if current not in makers:
            found.add(current)
        elif current not in seen:
            seen.add(current)
            waiting += makers[current].input
    return found


def _quantize(weight: Array, axis: int | None) -> tuple[Array, Array]:
    """int8 values, and the float32 scale in a shape that broadcasts: 1 in all axes but `axis`, () without."""
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.asarray(np.abs(weight).max(axis=others, keepdims=axis is not None))
    # A channel of zeros alone: any scale gives zeros back.
    scale = np.where(largest > 0, largest / _LARGEST_INT8, 1.0).astype(np.float32)
    values = np.clip(np.round(weight / scale), -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8)
    return values, scale


def _require_some(found: object, precision: str, kinds: str) -> None:
    if not found:
        raise UsageError(
            "Option --precision",
            got=f"{precision} for a graph without {kinds} layers",
            expected="layers whose weights ONNX Runtime can read so",
            fix="Use --precision int8 or fp16.",
        )
