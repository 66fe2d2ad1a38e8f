"""Write types into a graph: each node computes in fp16 or fp32, with one cast wherever the two meet.

ONNX Runtime's own converter (`onnxruntime.transformers.float16`, 1.23) casts down behind every node that it
leaves in fp32, so that what overflows between two of them is lost all the same, and it clips weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

from export.half_types import HalfTypes, captured_names

if TYPE_CHECKING:
    import onnx

_SUFFIX = {1: "_float32", 10: "_float16"}  # TensorProto.FLOAT and .FLOAT16


def to_half(model: onnx.ModelProto, islands: Collection[str], types: HalfTypes) -> onnx.ModelProto:
    """A copy of a model in half precision, but for some of its nodes.

    Graph inputs and outputs keep names and types. Known shapes are dropped, since their types are past.

    Args:
        model: In fp32, of opset 13 or later; every node has a name of its own.
        islands: Names of the nodes that stay in fp32.
        types: What the graph's operators take.
    """
    import onnx

    half = onnx.ModelProto()
    half.CopyFrom(model)
    _Writer(half.graph, frozenset(islands), types).write()
    del half.graph.value_info[:]
    return half


class _Writer:
    def __init__(self, graph: onnx.GraphProto, islands: frozenset[str], types: HalfTypes) -> None:
        import onnx

        self._float, self._half = int(onnx.TensorProto.FLOAT), int(onnx.TensorProto.FLOAT16)
        self._graph, self._islands, self._types = graph, islands, types
        self._weights = {weight.name: weight for weight in graph.initializer}
        self._outputs = {output.name for output in graph.output}
        captured = {name for node in graph.node for name in captured_names(node)}
        self._fixed = self._outputs | captured
        self._type_of = dict.fromkeys((*self._weights, *(i.name for i in graph.input)), self._float)
        self._casts: dict[tuple[str, int], str] = {}
        self._weight_types: dict[str, set[int]] = defaultdict(set)
        for name in self._fixed & set(self._weights):
            self._weight_types[name].add(self._float)
        self._nodes: list[onnx.NodeProto] = []

    def write(self) -> None:
        for node in list(self._graph.node):
            self._read(node)
            self._nodes.append(node)
            self._give(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        self._write_weights()

    def _computes_in(self, node: onnx.NodeProto) -> int:
        return self._float if node.name in self._islands else self._half

    def _read(self, node: onnx.NodeProto) -> None:
        """Give a node its inputs in the type that it wants them in."""
        halves = self._types.half_inputs(node) if self._computes_in(node) == self._half else set()
        for at, name in enumerate(node.input):
            if not self._types.is_float(name):
                continue
            wanted = self._half if at in halves else self._float
            if self._types.takes_any(node):
                wanted = self._half if (name, self._half) in self._casts else self._float
                wanted = wanted if name in self._weights else self._type_of[name]
            node.input[at] = self._in_type(name, wanted)

    def _give(self, node: onnx.NodeProto) -> None:
        """Note a node's outputs in the type that it gives; names that must be fp32 get a cast behind it."""
        computes_in = self._computes_in(node)
        if node.op_type == "Cast" and self._types.is_float(node.output[0]):
            next(a for a in node.attribute if a.name == "to").i = computes_in
        for at, name in enumerate(node.output):
            if not self._types.is_float(name):
                continue
            self._type_of[name] = computes_in
            if computes_in == self._half and name in self._fixed:
                node.output[at] = f"{name}{_SUFFIX[self._half]}"
                self._casts[name, self._half] = node.output[at]
                self._type_of[name] = self._float
                self._cast(node.output[at], name, self._float)

    def _in_type(self, name: str, wanted: int) -> str:
        if name in self._weights:
            self._weight_types[name].add(wanted)
            return name if wanted == self._float else f"{name}{_SUFFIX[self._half]}"
        if self._type_of[name] == wanted:
            return name
        if (name, wanted) not in self._casts:
            self._casts[name, wanted] = f"{name}{_SUFFIX[wanted]}"
            self._cast(name, self._casts[name, wanted], wanted)
        return self._casts[name, wanted]

    def _cast(self, source: str, target: str, wanted: int) -> None:
        from onnx import helper

        name = f"cast_{source}_to{_SUFFIX[wanted]}"
        self._nodes.append(helper.make_node("Cast", [source], [target], name, to=wanted))

    def _write_weights(self) -> None:
        """Each constant in the types it is read in. One that is only read in half keeps its name."""
        import numpy as np
        from onnx import numpy_helper

        renamed = {}
        for name, kinds in self._weight_types.items():
            if self._half not in kinds:
                continue
            values = numpy_helper.to_array(self._weights[name]).astype(np.float16)
            half_name = f"{name}{_SUFFIX[self._half]}"
            if kinds == {self._half}:
                renamed[half_name] = name
                self._weights[name].CopyFrom(numpy_helper.from_array(values, name))
            else:
                self._graph.initializer.append(numpy_helper.from_array(values, half_name))
        for node in self._graph.node:
            for at, name in enumerate(node.input):
                node.input[at] = renamed.get(name, name)
