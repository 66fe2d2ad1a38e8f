"""The activation of class maps moves into the graph without changing an answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from export.bake import bake
from runtimes import Dim, TensorInfo
from sdk.outputs.segmentation import LOGITS, PROBABILITIES, SegmentationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input

# float32 softmax by torch and by numpy, behind a folded normalisation.
TOLERANCE = 2e-6


@pytest.mark.parametrize("activation", ["softmax", "none"])
def test_baked_graph_gives_what_the_host_would(activation: str) -> None:
    image = image_input(size_wh=(9, 7))
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, 7, 9)),),
        (TensorInfo(LOGITS, "float32", (Dim(), 4, 7, 9)),),
    )
    output = SegmentationOutput(("a", "b", "c", "d"), activation)
    spec = Spec(SPEC_VERSION, "x", "segmentation", image, output, (graph,), (), Network("x", {}))
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    module, baked = bake(network, spec)
    pixels = [np.random.default_rng(at).integers(0, 256, (30, 20, 3), dtype=np.uint8) for at in range(2)]
    samples = [image.load(one) for one in pixels]
    with torch.inference_mode():
        plain = network(torch.from_numpy(image.batch(samples, ())["image"])).numpy()
        inside = module(torch.from_numpy(image.batch(samples, baked.baked)["image"])).numpy()
    expected = output.activate({LOGITS: plain}, ())[PROBABILITIES]
    np.testing.assert_allclose(inside, expected, atol=TOLERANCE)
    assert [info.name for info in baked.graph().outputs] == [PROBABILITIES]
    assert baked.graph().outputs[0].shape == (Dim(), 4, 7, 9)
