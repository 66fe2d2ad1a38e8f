"""Segmentation networks go through the export line: the same masks in every runtime, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.lowering import Request, lowering_for
from export.pipeline import export_artifacts
from export.recipe import INT8, Recipe
from runtimes import Dim, TensorInfo
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.artifact import PROVED, write_artifact
from sdk.outputs.segmentation import LOGITS, PROBABILITIES, SegmentationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.sdk.conftest import image_input, make_manifest
from tests.train.mask_sets import write_set
from train.loop import train
from train.options import make_options

NAMES = ("unet", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
SIDE_PX = 96
# Some hundred float32 layers in another order, on probabilities; a wrong layout gives tenths.
TOLERANCE = 1e-4
# Rounding to 8 bits moves edges, not regions.
INT8_MAX_DROP_POINTS = 3.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set with all parts. Read only."""
    return write_set(tmp_path_factory.mktemp("masks") / "set", train=40, val=6, test=8)


@pytest.fixture(scope="module")
def checkpoint(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few seconds' training."""
    out = tmp_path_factory.mktemp("run") / "run"
    given = {"epochs": 8, "batch_size": 8, "lr": 1e-2, "image_size": 24, "augment": ("flip",)}
    return train(make_options("segmentation", data, out, threads=1, device="cpu", **given)).checkpoint


def test_onnx_file_gives_the_checkpoints_masks(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    (done,) = export_artifacts(checkpoint, ["onnx"], data=data, out=tmp_path)
    assert done.evidence.status == PROVED
    assert done.evidence.parity.agreement > 0.999
    assert [metric.name for metric in done.evidence.metrics] == ["mean_iou", "mean_dice", "pixel_accuracy"]
    pictures = sorted((data / "test" / "images").iterdir())
    with Predictor(checkpoint) as reference, Predictor(done.path) as predictor:
        assert predictor.verify().holds
        for one, other in zip(reference.predict(pictures), predictor.predict(pictures), strict=True):
            assert (one.mask == other.mask).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "pte"])
def test_int8_keeps_the_regions(checkpoint: Path, data: Path, tmp_path: Path, target: str) -> None:
    (done,) = export_artifacts(
        checkpoint,
        [target],
        recipe=Recipe(precision=INT8),
        data=data,
        out=tmp_path,
        max_drop=INT8_MAX_DROP_POINTS,
    )
    assert done.evidence.status == PROVED
    assert done.path.name == f"segmentation_int8.{target}"


def _spec(name: str) -> Spec:
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 3, SIDE_PX, SIDE_PX)),),
        (TensorInfo(LOGITS, "float32", (Dim(), 4, SIDE_PX, SIDE_PX)),),
    )
    return Spec(
        version=SPEC_VERSION,
        name=name,
        task="segmentation",
        input=image_input(size_wh=(SIDE_PX, SIDE_PX), resize="letterbox"),
        output=SegmentationOutput(tuple("abcd"), "softmax"),
        graphs=(graph,),
        baked=(),
        network=Network(name, {"channels": 3, "classes": 4}),
    )


def _network(spec: Spec, pictures: torch.Tensor) -> torch.nn.Module:
    """Fresh weights with batch statistics of real pictures, and maps of about unit size."""
    network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(pictures)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_network_lowers_with_the_same_maps(name: str, shared_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec, photos = _spec(name), sorted((shared_data / "photos").iterdir())
    pictures = torch.from_numpy(spec.input.batch([spec.input.load(photo) for photo in photos], ())["image"])
    network = _network(spec, pictures)
    with torch.no_grad():
        expected = torch.softmax(network(pictures), dim=1).numpy()
    assert np.ptp(expected, axis=(0, 2, 3)).max() > 100 * TOLERANCE, "the maps differ from place to place"
    for target in ("onnx", "pte"):
        lowering = lowering_for(target)
        lowered = lowering.lower(network, spec, Request(Recipe(), 8, 20_000))
        path = tmp_path / f"{name}{lowering.suffix}"
        write_artifact(path, lowered.payload, make_manifest(lowered.spec))
        with Predictor(path) as predictor:
            together = predictor.outputs(photos)[PROBABILITIES]
            alone = np.concatenate([predictor.outputs([photo])[PROBABILITIES] for photo in photos])
        np.testing.assert_allclose(together, expected, atol=TOLERANCE, rtol=0, err_msg=target)
        np.testing.assert_allclose(
            alone, expected, atol=TOLERANCE, rtol=0, err_msg=f"{target}, one at a time"
        )
