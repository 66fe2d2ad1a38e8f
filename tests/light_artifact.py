"""An artifact that needs no training: it tells bright pictures from dark ones."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec


def write_light_artifact(path: Path) -> Path:
    """Write an `.onnx` artifact with labels ``bright`` and ``dark``, everything baked, to `path`."""
    evidence = Evidence(PROVED, "2025-01-01T00:00:00Z", None, {}, 0.0, None, (), {})
    write_artifact(path, _model(), Manifest(MANIFEST_VERSION, light_spec(), (), evidence, ""))
    return path


def light_spec() -> Spec:
    """The contract: a 28×28 grey picture in, two probabilities out."""
    image = TensorInfo("image", "uint8", (Dim(), 28, 28, 1))
    scores = TensorInfo("scores", "float32", (Dim(), 2))
    baked = ("colour_order", "layout", "cast", "normalise", "views", "activation")
    return Spec(
        version=SPEC_VERSION,
        name="light",
        task="product",
        input=ImageInput(
            channels="grey",
            size_wh=(28, 28),
            resize="stretch",
            shortest_px=None,
            filter="bilinear",
            pad_colour=(0, 0, 0),
            alpha_colour=(255, 255, 255),
            scale=1 / 255,
            mean=(0.0,),
            std=(1.0,),
            jpeg_scaling="full",
            views=("identity",),
        ),
        output=ClassificationOutput(
            labels=("bright", "dark"), activation="softmax", top_k=2, temperature=1.0
        ),
        graphs=(Graph("main", (image,), (scores,)),),
        baked=baked,
        network=Network("compact_cnn", {}),
    )


def _model() -> bytes:
    """Softmax over (mean, 255 - mean) of the pixels."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["bright"]),
        helper.make_node("Sub", ["white", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["both"], axis=1),
        helper.make_node("Softmax", ["both"], ["scores"], axis=1),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("white", TensorProto.FLOAT, [1], [255.0]),
    ]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
