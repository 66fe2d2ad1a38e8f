"""Graphs are made ready for the quantiser without another answer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantization.onnx_prepare import pool_means
from tests.export.quantization.conftest import run


def _model(axes: list[int], keepdims: int) -> bytes:
    rank = 4 if keepdims else 4 - len(axes)
    nodes = [
        helper.make_node("Relu", ["picture"], ["positive"]),
        helper.make_node("ReduceMean", ["positive", "axes"], ["scores"], name="mean", keepdims=keepdims),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, 4, 5])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")],
    )
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString())


@pytest.mark.parametrize(
    ("axes", "keepdims", "operator"),
    [
        ([2, 3], 1, "GlobalAveragePool"),
        ([-1, -2], 1, "GlobalAveragePool"),
        ([1], 1, "ReduceMean"),
        ([2], 1, "ReduceMean"),
        ([2, 3], 0, "ReduceMean"),
    ],
)
def test_pool_means_pools_over_height_and_width_alone(axes: list[int], keepdims: int, operator: str) -> None:
    before = _model(axes, keepdims)
    after = pool_means(before)
    node = onnx.load_from_string(after).graph.node[1]
    assert (node.op_type, node.name) == (operator, "mean")
    picture = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert np.allclose(run(before, picture), run(after, picture), atol=1e-6)
