"""What ONNX Runtime wants done before it quantises a graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from export.onnx_graph import strip_notes


def fold_normalisations(payload: bytes) -> bytes:
    """Merge batch normalisations that the exporter left into the convolutions before them.

    A model without any is given back as it is, since the optimiser renames more than it has to.

    Args:
        payload: A complete fp32 ONNX model.
    """
    import onnx

    operators = {node.op_type for node in onnx.load_from_string(payload).graph.node}
    return optimise(payload) if "BatchNormalization" in operators else payload


def pool_means(payload: bytes) -> bytes:
    """Write means over height and width as the pooling that they are: only that has an integer kernel.

    Args:
        payload: A complete fp32 ONNX model.
    """
    import onnx
    from onnx import numpy_helper, shape_inference

    model = onnx.load_from_string(payload)
    known = shape_inference.infer_shapes(model).graph.value_info
    ranks = {info.name: len(info.type.tensor_type.shape.dim) for info in known}
    constants = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        axes = {int(axis) % 4 for axis in numpy_helper.to_array(constants[node.input[1]])}
        keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
        if ranks.get(node.input[0]) == 4 and axes == {2, 3} and keeps:
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    return model.SerializeToString()


def optimise(payload: bytes) -> bytes:
    """A model after ONNX Runtime's own preprocessing: constants computed, normalisations merged.

    Args:
        payload: A complete fp32 ONNX model.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch:
        before, after = Path(scratch) / "before.onnx", Path(scratch) / "after.onnx"
        before.write_bytes(payload)
        quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
        return strip_notes(after.read_bytes())
