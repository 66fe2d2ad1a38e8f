"""An artifact that takes photos and needs no training: scores from mean colours in nine fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from demos.lean.models import CLASSES, SIDE_PX, photo_spec
from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.spec import Graph, Spec

FIELDS = 3
KERNEL_PX = SIDE_PX // FIELDS


def write_tiny_photo_artifact(path: Path, jpeg_scaling: str = "full") -> Path:
    """Write an `.onnx` artifact, fed as in `demos.lean.models` and all of that baked, to `path`."""
    evidence = Evidence(PROVED, "2025-01-01T00:00:00Z", None, {}, 0.0, None, (), {})
    manifest = Manifest(MANIFEST_VERSION, _spec(jpeg_scaling), (), evidence, "")
    write_artifact(path, _model(), manifest)
    return path


def _spec(jpeg_scaling: str) -> Spec:
    spec = photo_spec("tiny", SIDE_PX, jpeg_scaling)
    image = TensorInfo("image", "uint8", (Dim(), SIDE_PX, SIDE_PX, 3))
    steps = spec.input.bakeable + spec.output.bakeable
    return spec.with_baked(steps, (Graph("main", (image,), spec.graph().outputs),))


def _model() -> bytes:
    weights = np.random.default_rng(0).normal(size=(3 * FIELDS**2, CLASSES)).astype(np.float32) / 50
    window = [KERNEL_PX, KERNEL_PX]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["fields"], kernel_shape=window, strides=window),
        helper.make_node("Flatten", ["fields"], ["colours"]),
        helper.make_node("MatMul", ["colours", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
