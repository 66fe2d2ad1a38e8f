"""Read back from a finished graph what each of its nodes computes in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_TO_FLOAT, _TO_INTEGER = "DequantizeLinear", "QuantizeLinear"
_PLUMBING = frozenset(
    {_TO_FLOAT, _TO_INTEGER, "DynamicQuantizeLinear", "Cast", "Constant", "Identity", "Shape"}
)
_INTEGER_OPERATORS = {
    "ConvInteger": ("Conv", "int8"),
    "DynamicQuantizeLSTM": ("LSTM", "int8"),
    "DynamicQuantizeMatMul": ("MatMul", "int8"),
    "MatMulInteger": ("MatMul", "int8"),
    "MatMulIntegerToFloat": ("MatMul", "int8"),
    "MatMulNBits": ("MatMul", "int4-weights"),
    "QAttention": ("Attention", "int8"),
}
"""Operators whose name says it: what they stand for, and in which precision."""
_INTEGER_KERNELS = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Flatten",
        "Gather",
        "GlobalAveragePool",
        "LeakyRelu",
        "MaxPool",
        "Mul",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""Operators without weights that ONNX Runtime runs in integers between quantised tensors; it dequantises
for any other. Those that only move numbers are among them."""
_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def node_precisions(payload: bytes) -> dict[str, dict[str, int]]:
    """Nodes by operator and precision, such as ``{"Conv": {"int8": 7}, "Softmax": {"fp32": 1}}``.

    ``int8``: every number it multiplies comes out of a dequantise node and, where it has no weights, goes
    into a quantise node again and there is an integer kernel for it. ``int8-weights``: only its weights
    do. Nodes that merely convert or hold constants are left out.

    Args:
        payload: A complete ONNX model.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(payload))
    reader = _Reader(model.graph)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for node in model.graph.node:
        if node.op_type not in _PLUMBING and reader.is_numeric(node) and not reader.is_constant(node):
            operator, precision = _INTEGER_OPERATORS.get(node.op_type) or (
                node.op_type,
                reader.precision(node),
            )
            found[operator][precision] += 1
    return {operator: dict(found[operator]) for operator in sorted(found)}


def weight_types(payload: bytes) -> dict[str, int]:
    """Number of weights by element type; shape constants left out."""
    import onnx

    counts: Counter[str] = Counter()
    for weight in onnx.load_from_string(payload).graph.initializer:
        name = onnx.TensorProto.DataType.Name(weight.data_type).lower()
        if name != "int64":
            known = {"float": "float32", "double": "float64"}.get(name, name)
            counts[known] += int(np.prod(weight.dims, dtype=np.int64))
    return dict(counts)


class _Reader:
    """What is known of a graph's tensors."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        import onnx

        proto = onnx.TensorProto
        self._names = {proto.FLOAT: "fp32", proto.FLOAT16: "fp16", proto.DOUBLE: "fp64"}
        self._int8 = proto.INT8
        self._constants = {weight.name for weight in graph.initializer}
        self._types: dict[str, Any] = {weight.name: weight.data_type for weight in graph.initializer}
        for info in (*graph.input, *graph.value_info, *graph.output):
            self._types[info.name] = info.type.tensor_type.elem_type
        self._computed = _computed_from(self._constants, graph)
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._readers[name].append(node)

    def is_numeric(self, node: onnx.NodeProto) -> bool:
        """Whether it computes on real numbers, rather than on shapes or raw integers between others."""
        # Behind ONNX Runtime's own operators shape inference knows no types: they give real numbers.
        kind = self._types.get(node.output[0])
        return kind in self._names or kind is None or node.op_type in _INTEGER_OPERATORS

    def is_constant(self, node: onnx.NodeProto) -> bool:
        """Whether it computes on constants alone, as what unpacks stored weights does."""
        return node.output[0] in self._computed

    def precision(self, node: onnx.NodeProto) -> str:
        """See `node_precisions`."""
        types = [self._types.get(name) for name in node.input if name and not self._is_integer(name)]
        plain = next((self._names[kind] for kind in types if kind in self._names), None)
        plain = plain or self._names.get(self._types.get(node.output[0]), "fp32")
        if node.op_type in _WEIGHTED:
            if all(self._is_integer(name) for name in node.input[:2]):
                return "int8"
            return "int8-weights" if self._is_stored_small(node.input[1]) else plain
        if node.op_type in _RECURRENT:
            return "int8-weights" if self._is_stored_small(node.input[1]) else plain
        data = [name for name in node.input if self._types.get(name) in self._names]
        quantized = all(reader.op_type == _TO_INTEGER for reader in self._readers[node.output[0]])
        integer = bool(data) and all(self._is_integer(name) for name in data)
        between = integer and quantized and bool(self._readers[node.output[0]])
        return "int8" if between and node.op_type in _INTEGER_KERNELS else plain

    def _is_integer(self, name: str) -> bool:
        maker = self._makers.get(name)
        return maker is not None and maker.op_type == _TO_FLOAT

    def _is_stored_small(self, name: str) -> bool:
        """Whether a weight is made of int8 constants alone: dequantised, or cast and multiplied."""
        if name not in self._computed:
            return False
        maker = self._makers[name]
        if maker.op_type in (_TO_FLOAT, "Cast"):
            return self._types.get(maker.input[0]) == self._int8 and maker.input[0] in self._constants
        data = [i for i in maker.input if i not in self._constants]
        return bool(data) and all(self._is_stored_small(before) for before in data)


def _computed_from(constants: Collection[str], graph: onnx.GraphProto) -> set[str]:
    """Tensors that nodes make of constants alone; a graph lists its nodes in the order they run."""
    made: set[str] = set()
    for node in graph.node:
        if all(not name or name in constants or name in made for name in node.input):
            made.update(node.output)
    return made
