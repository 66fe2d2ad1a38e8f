"""Artifacts whose cost is known by construction, for the study of the latency gate."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from runtimes import Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, GoldenSample, Manifest, write_artifact
from sdk.artifact.provenance import now_utc
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

CHANNELS = 48
SIDE_PX = 28
OPSET = 20
TOLERANCE = 1e-3


def write_chain(path: Path, layers: int) -> Path:
    """Write an `.onnx` artifact of `layers` equal convolutions one after the other.

    Each layer costs the same, so a chain that is longer by 5 % is slower by about as much in any engine that
    does not skip work: a slowdown that is put in honestly, not by sleeping. The weights are random; there is
    one golden sample.

    Args:
        path: Where to, ending in ``.onnx``.
        layers: How many 3×3 convolutions, 48 channels to 48 on 14×14.
    """
    model = _model(layers)
    picture = np.random.default_rng(1).integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    sample = GoldenSample.of(buffer.getvalue(), {"scores": _scores(model, picture)})
    evidence = Evidence(PROVED, now_utc(), None, {"requested": "fp32"}, TOLERANCE, None, (), {})
    write_artifact(path, model, Manifest(MANIFEST_VERSION, _spec(), (sample,), evidence, ""))
    return path


def _scores(model: bytes, picture: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture[None, :, :, None]})[0][0]


def _spec() -> Spec:
    image = TensorInfo("image", "uint8", (Dim(), SIDE_PX, SIDE_PX, 1))
    scores = TensorInfo("scores", "float32", (Dim(), 2))
    return Spec(
        version=SPEC_VERSION,
        name="chain",
        task="product",
        input=ImageInput(
            channels="grey",
            size_wh=(SIDE_PX, SIDE_PX),
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
        output=ClassificationOutput(labels=("this", "that"), activation="softmax", top_k=2, temperature=1.0),
        graphs=(Graph("main", (image,), (scores,)),),
        baked=("colour_order", "layout", "cast", "normalise", "views", "activation"),
        network=Network("chain", {}),
    )


def _model(layers: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    weights: list = []
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["pixels"], to=TensorProto.FLOAT),
    ]

    def add(kind: str, source: str, shape: tuple[int, ...], scale: float, **attributes: object) -> str:
        name = f"{kind.lower()}_{len(nodes)}"
        values = draw.normal(0, scale, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}_weight"))
        nodes.append(helper.make_node(kind, [source, f"{name}_weight"], [name], name=name, **attributes))
        return name

    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    last = add("Conv", "pixels", (CHANNELS, 1, 3, 3), 0.003, strides=[2, 2], **window)
    for _ in range(layers):
        # He initialisation: the signal keeps its size through any number of layers.
        conv = add("Conv", last, (CHANNELS, CHANNELS, 3, 3), (2 / (9 * CHANNELS)) ** 0.5, **window)
        last = f"relu_{len(nodes)}"
        nodes.append(helper.make_node("Relu", [conv], [last], name=last))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"]))
    logits = add("MatMul", "features", (CHANNELS, 2), 0.05)
    nodes.append(helper.make_node("Softmax", [logits], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return bytes(model.SerializeToString())
