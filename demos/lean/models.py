"""Artifacts and a picture to measure on, without training: real networks, random weights, a real photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, Manifest, write_artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

CLASSES = 1000
SIDE_PX, SHORTEST_PX = 224, 256
PICTURE_WH = (1280, 720)
JPEG_QUALITY = 90
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make_artifact(network: str, path: Path, *, side_px: int = SIDE_PX, jpeg_scaling: str = "full") -> Path:
    """Lower a network with random weights to an `.onnx` artifact at `path`, everything baked.

    Its scores mean nothing; its speed does not depend on the weights. Pictures are fed as for ImageNet: the
    shortest side to 8/7 of `side_px`, then the centre.

    Args:
        network: A name of the group ``edgewright.networks``.
        path: Where to.
        side_px: Side of the network's input.
        jpeg_scaling: As in `ImageInput`.
    """
    import torch

    from export.lowering import Request, lowering_for
    from export.recipe import Recipe
    from runtimes.torch_runtime import build_network

    spec = photo_spec(network, side_px, jpeg_scaling)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        module = _awake(
            build_network({"name": spec.network.name, "arguments": spec.network.arguments}), side_px
        )
        lowered = lowering_for("onnx").lower(module, spec, Request(Recipe(), 8, 20_000))
    evidence = Evidence(PROVED, "2026-01-01T00:00:00+00:00", None, {}, 0.0, None, (), {})
    write_artifact(path, lowered.payload, Manifest(MANIFEST_VERSION, lowered.spec, (), evidence, ""))
    return path


def make_picture(photo: Path, path: Path, size_wh: tuple[int, int] = PICTURE_WH) -> Path:
    """`photo` scaled to cover `size_wh`, its centre cut out, as a JPEG at `path`."""
    from PIL import Image, ImageOps

    with Image.open(photo) as image:
        fitted = ImageOps.fit(image.convert("RGB"), size_wh, Image.Resampling.LANCZOS)
    fitted.save(path, "JPEG", quality=JPEG_QUALITY)
    return path


def _awake(module: Any, side_px: int) -> Any:
    """Batch statistics of coarse noise; without any, deep random networks answer a constant."""
    import torch

    blots = torch.randn(8, 3, 7, 7)
    noise = torch.nn.functional.interpolate(blots, (side_px, side_px), mode="bilinear")
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    module.train()
    module(noise)
    module.eval()
    head = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)][-1]
    head.weight.div_(module(noise).std())
    return module


def photo_spec(network: str, side_px: int, jpeg_scaling: str) -> Spec:
    """The contract of a classifier of photos, nothing baked; arguments as for `make_artifact`."""
    mean, std = IMAGENET
    image = ImageInput(
        channels="rgb",
        size_wh=(side_px, side_px),
        resize="shortest",
        shortest_px=round(side_px * SHORTEST_PX / SIDE_PX),
        filter="bilinear",
        pad_colour=(0, 0, 0),
        alpha_colour=(255, 255, 255),
        scale=1 / 255,
        mean=mean,
        std=std,
        jpeg_scaling=jpeg_scaling,
        views=("identity",),
    )
    graph = Graph(
        MAIN_GRAPH,
        (TensorInfo(IMAGE, "float32", (Dim(), 3, side_px, side_px)),),
        (TensorInfo(SCORES, "float32", (Dim(), CLASSES)),),
    )
    labels = tuple(f"class {number}" for number in range(CLASSES))
    output = ClassificationOutput(labels, "softmax", 5, 1.0)
    arguments = {"channels": 3, "classes": CLASSES}
    return Spec(SPEC_VERSION, network, "product", image, output, (graph,), (), Network(network, arguments))
