"""An embedding artifact that needs no training: a picture's mean colour, seen from middle grey."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.outputs.embedding import EMBEDDING, EmbeddingOutput
from sdk.spec import Graph, Network, Spec
from tests.light_artifact import light_spec

SIDE_PX = 8
MIDDLE = 127.5


def write_light_embedding(path: Path, parent: str | None = "a" * 64) -> Path:
    """Write an `.onnx` artifact whose vectors are scaled on the host, to `path`."""
    evidence = Evidence(PROVED, "2025-01-01T00:00:00Z", parent, {}, 0.0, None, (), {})
    write_artifact(path, _model(), Manifest(MANIFEST_VERSION, _spec(), (), evidence, ""))
    return path


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture of one colour."""
    return np.full((SIDE_PX, SIDE_PX, 3), colour, np.uint8)


def direction_of(colour: tuple[int, int, int]) -> np.ndarray:
    """What the artifact answers to `plain`, worked by hand."""
    apart = np.array(colour) - MIDDLE
    return apart / np.linalg.norm(apart)


def _spec() -> Spec:
    light = light_spec()
    image = TensorInfo("image", "uint8", (Dim(), SIDE_PX, SIDE_PX, 3))
    vector = TensorInfo(EMBEDDING, "float32", (Dim(), 3))
    return replace(
        light,
        name="light-embedding",
        task="embedding",
        input=replace(
            light.input, channels="rgb", size_wh=(SIDE_PX, SIDE_PX), mean=(0.0,) * 3, std=(1.0,) * 3
        ),
        output=EmbeddingOutput(3),
        graphs=(Graph("main", (image,), (vector,)),),
        baked=light.input.bakeable,
        network=Network("compact_cnn", {}),
    )


def _model() -> bytes:
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], [EMBEDDING]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("middle", TensorProto.FLOAT, [1], [MIDDLE]),
    ]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
