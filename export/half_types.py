"""What ONNX says of an operator's types: which of its float inputs and outputs may be half precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

_HALF, _FLOAT = "tensor(float16)", "tensor(float)"
# Their output's type is written in an attribute or taken from elsewhere: what they give is cast instead.
_TYPED_ELSEWHERE = frozenset(
    {
        "Bernoulli",
        "CastLike",
        "ConstantOfShape",
        "DequantizeLinear",
        "EyeLike",
        "Multinomial",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_FLOAT_INPUTS = {"Resize": frozenset({1, 2})}
"""Inputs that stay in fp32: places in a picture (roi) and scales, which half would move."""
_READS_ANY = frozenset({"Cast", "IsInf", "IsNaN", "Shape", "Size"})
"""Operators that take a tensor in whatever type it has, and whose output does not follow it."""


class HalfTypes:
    """Types in one fp32 graph.

    Attributes:
        opsets: Version by operator domain.

    Args:
        model: In fp32, with the types of its tensors (`onnx.shape_inference`).
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        graph = model.graph
        infos = (*graph.input, *graph.value_info, *graph.output)
        self._floats = {i.name for i in infos if i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
        self._floats |= {w.name for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT}

    def is_float(self, name: str) -> bool:
        """Whether a tensor is float32."""
        return name in self._floats

    def float_names(self, node: onnx.NodeProto) -> list[str]:
        """The float tensors that a node reads or writes."""
        return [name for name in (*node.input, *node.output) if name in self._floats]

    def touches_floats(self, node: onnx.NodeProto) -> bool:
        """Whether a type has to be chosen for it at all: shape arithmetic has none to choose."""
        writes = any(name in self._floats for name in node.output)
        reads = any(name in self._floats for name in node.input)
        return writes or (reads and node.op_type not in _READS_ANY) or has_subgraph(node)

    def half_inputs(self, node: onnx.NodeProto) -> set[int]:
        """Positions of the float inputs that become half when the node computes in half."""
        fixed = _FLOAT_INPUTS.get(node.op_type, frozenset())
        kinds = enumerate(zip(node.input, self._formal(node, "inputs", len(node.input)), strict=True))
        return {
            at for at, (name, kind) in kinds if name in self._floats and at not in fixed and kind == _HALF
        }

    def takes_any(self, node: onnx.NodeProto) -> bool:
        """Whether the type of its float inputs is of no interest to it."""
        return node.op_type in _READS_ANY

    def has_half(self, node: onnx.NodeProto) -> bool:
        """Whether the operator computes in half precision, with half outputs."""
        if node.op_type in _TYPED_ELSEWHERE or has_subgraph(node):
            return False
        outputs = zip(node.output, self._formal(node, "outputs", len(node.output)), strict=True)
        inputs = zip(node.input, self._formal(node, "inputs", len(node.input)), strict=True)
        follows = [kind for name, kind in outputs if name in self._floats]
        reads = [kind for name, kind in inputs if name in self._floats]
        if self.takes_any(node):
            return True
        # Without an output that follows, an input must: comparisons give booleans.
        return all(kind == _HALF for kind in follows) and _HALF in (follows + reads) and None not in reads

    def _formal(self, node: onnx.NodeProto, side: str, count: int) -> list[str | None]:
        """For each input or output: `_HALF` where it may be, `_FLOAT` where it is always fp32, else None."""
        schema = self._schema(node)
        if schema is None:
            return [None] * count
        allowed = {rule.type_param_str: rule.allowed_type_strs for rule in schema.type_constraints}
        formal = list(getattr(schema, side))
        formal += formal[-1:] * (count - len(formal))  # the last one may stand for many
        return [_kind(parameter.type_str, allowed) for parameter in formal[:count]]

    def _schema(self, node: onnx.NodeProto) -> Any:
        import onnx

        try:
            return onnx.defs.get_schema(node.op_type, ops_version(self.opsets, node.domain), node.domain)
        except onnx.defs.SchemaError:
            return None


def ops_version(opsets: Mapping[str, int], domain: str) -> int:
    """Version of an operator domain in a model; the default domain has two names."""
    return opsets.get(domain, opsets.get("ai.onnx", 1) if domain == "" else 1)


def has_subgraph(node: onnx.NodeProto) -> bool:
    """Whether it is a branch or a loop."""
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def captured_names(node: onnx.NodeProto) -> Iterator[str]:
    """Everything that a node's subgraphs read, of their own and from outside."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from inner.input
                yield from captured_names(inner)
            yield from (output.name for output in graph.output)


def _kind(type_name: str, allowed: Mapping[str, Any]) -> str | None:
    if type_name not in allowed:
        return _FLOAT if type_name == _FLOAT else None
    return _HALF if _HALF in allowed[type_name] else None
