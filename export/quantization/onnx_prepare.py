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
