"""Every network that `train` offers lowers to ONNX and ExecuTorch with the same answers, on real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.lowering import Request, lowering_for
from export.recipe import Recipe
from runtimes import Dim, TensorInfo
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.artifact import write_artifact
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input, make_manifest

NAMES = (
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
)
SIDE_PX = 96
CLASSES = 5
# Up to 500 float32 layers in another order, on probabilities; a wrong layout or normalisation gives tenths.
TOLERANCE = 1e-4


def _spec(name: str) -> Spec:
    image = image_input(
        size_wh=(SIDE_PX, SIDE_PX),
        resize="shortest",
        shortest_px=SIDE_PX + 8,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, SIDE_PX, SIDE_PX)),),
        (TensorInfo("scores", "float32", (Dim(), CLASSES)),),
    )
    output = ClassificationOutput(tuple("abcde"), "softmax", 3, 1.0)
    network = Network(name, {"channels": 3, "classes": CLASSES})
    return Spec(SPEC_VERSION, name, "product", image, output, (graph,), (), network)


def _network_that_tells_pictures_apart(spec: Spec, pictures: torch.Tensor) -> torch.nn.Module:
    """Fresh weights with batch statistics of real pictures; otherwise deep networks answer a constant."""
    network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(pictures)
        network.eval()
        head = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
        scores = network(pictures)
        head.weight.div_((scores - scores.mean(dim=0)).std())
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_network_lowers_with_the_same_answers(name: str, shared_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec, photos = _spec(name), sorted((shared_data / "photos").iterdir())
    pictures = torch.from_numpy(spec.input.batch([spec.input.load(photo) for photo in photos], ())["image"])
    network = _network_that_tells_pictures_apart(spec, pictures)
    with torch.no_grad():
        expected = torch.softmax(network(pictures), dim=1).numpy()
    assert np.ptp(expected, axis=0).max() > 100 * TOLERANCE, "the network tells the photos apart"
    for target in ("onnx", "pte"):
        lowering = lowering_for(target)
        lowered = lowering.lower(network, spec, Request(Recipe(), 8, 20_000))
        path = tmp_path / f"{name}{lowering.suffix}"
        write_artifact(path, lowered.payload, make_manifest(lowered.spec))
        with Predictor(path) as predictor:
            together = predictor.outputs(photos)["scores"]
            alone = np.concatenate([predictor.outputs([photo])["scores"] for photo in photos])
        np.testing.assert_allclose(together, expected, atol=TOLERANCE, rtol=0, err_msg=target)
        np.testing.assert_allclose(
            alone, expected, atol=TOLERANCE, rtol=0, err_msg=f"{target}, one at a time"
        )
        if target == "pte":
            assert lowered.facts["delegated_fraction"] > 0.8
