"""Reading precision back from a graph."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantization.onnx_precision import node_precisions

FAR = 3000
"""More nodes in a row than Python lets a function call itself."""


def _graph(nodes: list[object], constants: dict[str, np.ndarray]) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def _pair(name: str) -> list[object]:
    """Quantise and dequantise; the result is called `name` with a q."""
    scales = ["scale", "zero"]
    return [
        helper.make_node("QuantizeLinear", [name, *scales], [f"{name}_int"]),
        helper.make_node("DequantizeLinear", [f"{name}_int", *scales], [f"{name}q"]),
    ]


CONSTANTS = {
    "scale": np.float32(0.1),
    "zero": np.int8(0),
    "w": np.eye(2, dtype=np.float32),
    "small": np.eye(2, dtype=np.int8),
}
UNPACK = helper.make_node("DequantizeLinear", ["small", "scale"], ["w_small"])
LAST = helper.make_node("DequantizeLinear", ["h_int", "scale", "zero"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([helper.make_node("MatMul", ["x", "w"], ["y"])], {"MatMul": {"fp32": 1}}, id="float"),
        pytest.param(
            [*_pair("x"), UNPACK, helper.make_node("MatMul", ["xq", "w_small"], ["y"])],
            {"MatMul": {"int8": 1}},
            id="both-sides",
        ),
        pytest.param(
            [*_pair("x"), *_pair("w"), helper.make_node("MatMul", ["xq", "wq"], ["y"])],
            {"MatMul": {"int8": 1}},
            id="weight-as-a-pair",
        ),
        pytest.param(
            [UNPACK, helper.make_node("MatMul", ["x", "w_small"], ["y"])],
            {"MatMul": {"int8-weights": 1}},
            id="weights-alone",
        ),
        pytest.param(
            [*_pair("x"), helper.make_node("MatMul", ["xq", "w"], ["y"])],
            {"MatMul": {"fp32": 1}},
            id="activation-alone",
        ),
        pytest.param(
            [*_pair("x"), helper.make_node("Relu", ["xq"], ["h"]), *_pair("h")[:1], LAST],
            {"Relu": {"int8": 1}},
            id="between-pairs",
        ),
        pytest.param(
            [*_pair("x"), helper.make_node("Elu", ["xq"], ["h"]), *_pair("h")[:1], LAST],
            {"Elu": {"fp32": 1}},
            id="no-integer-kernel",
        ),
        pytest.param(
            [*_pair("x"), helper.make_node("Relu", ["xq"], ["y"])], {"Relu": {"fp32": 1}}, id="not-put-back"
        ),
    ],
)
def test_node_precisions_of_small_graphs(nodes: list[object], expected: dict[str, dict[str, int]]) -> None:
    assert node_precisions(_graph(nodes, CONSTANTS)) == expected


def test_node_precisions_of_a_deep_graph() -> None:
    names = ["x", *(f"h{number}" for number in range(FAR - 1)), "y"]
    nodes = [helper.make_node("Relu", [before], [after]) for before, after in itertools.pairwise(names)]
    assert node_precisions(_graph(nodes, {})) == {"Relu": {"fp32": FAR}}
