"""A small CNN as an ONNX graph, with the same in numpy to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

CLASSES = 3


def _weights() -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(7)
    return (
        generator.normal(size=(4, 1, 3, 3)).astype(np.float32),
        generator.normal(size=(4, CLASSES)).astype(np.float32),
        generator.normal(size=(CLASSES,)).astype(np.float32),
    )


def small_cnn(dtype: str = "float32", *, batch: int | None = None, operator: str = "Relu") -> bytes:
    """uint8 (N, 8, 8, 1) → cast, convolution, `operator`, pooling, matrix product, softmax → float32 (N, 3).

    Args:
        dtype: ``float32``, or ``float16`` for everything between the first and the last cast.
        batch: Fixed batch; None leaves it open.
        operator: The activation; anything else than ONNX has makes a graph that no parser takes.
    """
    from onnx import TensorProto, helper, numpy_helper

    kernel, matrix, bias = (array.astype(dtype) for array in _weights())
    element = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], "cast_in", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], "layout", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["scaled"], "normalise"),
        helper.make_node("Cast", ["scaled"], ["narrow"], "cast_down", to=element),
        helper.make_node("Conv", ["narrow", "kernel"], ["conv"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["conv"], ["active"], "activation"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"], "fc"),
        helper.make_node("Cast", ["logits"], ["wide"], "cast_up", to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["wide"], ["scores"], "softmax", axis=1),
    ]
    constants = {"kernel": kernel, "matrix": matrix, "bias": bias, "scale": np.float32(1 / 255)}
    graph = helper.make_graph(
        nodes,
        "small_cnn",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "N", 8, 8, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch or "N", CLASSES])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def small_int8_cnn(
    quantised: tuple[str, ...] = ("conv1", "fc"), *, unsigned: bool = False, bias_int32: bool = False
) -> bytes:
    """`small_cnn` with quantise/dequantise pairs before each of `quantised` and behind its weights.

    Args:
        quantised: Nodes that an engine can then compute in int8.
        unsigned: Activations in uint8 around a zero-point, as ONNX Runtime likes them on x86 CPUs.
        bias_int32: The matrix product's bias as dequantised int32, likewise.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(small_cnn())
    graph, nodes = model.graph, []
    data_type, zero = (np.uint8, 128) if unsigned else (np.int8, 0)

    def constant(name: str, value: Any) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def dequantised(tensor: str, scale: float, kind: Any, zero_point: int) -> str:
        parts = [constant(f"{tensor}_scale", np.float32(scale)), constant(f"{tensor}_zero", kind(zero_point))]
        nodes.append(helper.make_node("QuantizeLinear", [tensor, *parts], [f"{tensor}_q"], f"{tensor}_Q"))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{tensor}_q", *parts], [f"{tensor}_dq"], f"{tensor}_DQ")
        )
        return f"{tensor}_dq"

    for node in graph.node:
        if node.name in quantised:
            node.input[0] = dequantised(node.input[0], 0.02, data_type, zero)
            node.input[1] = dequantised(node.input[1], 0.02, np.int8, 0)
        if node.name == "fc" and bias_int32:
            parts = [
                constant("bias_q", np.zeros(CLASSES, np.int32)),
                constant("bias_scale", np.float32(1e-4)),
            ]
            nodes.append(helper.make_node("DequantizeLinear", parts, ["bias_dq"], "bias_DQ"))
            node.input[2] = "bias_dq"
        nodes.append(node)
    made = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(made)
    return bytes(model.SerializeToString())


def small_cnn_answers(image: Any) -> Any:
    """The fp32 graph in numpy.

    Args:
        image: uint8 (N, 8, 8, 1).

    Returns:
        float32 (N, 3).
    """
    kernel, matrix, bias = _weights()
    padded = np.pad(image[..., 0].astype(np.float32) / 255, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    active = np.maximum(np.einsum("nhwij,kij->nkhw", windows, kernel[:, 0]), 0)
    logits = active.mean(axis=(2, 3)) @ matrix + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
