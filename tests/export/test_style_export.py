"""A style network in every runtime: the same picture, any size in ONNX, one size in ExecuTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.bake import bake
from export.lowering import at_fixed_size
from export.onnx_graph import lower_to_onnx
from export.pipeline import export_artifacts
from runtimes import EngineError
from runtimes.torch_runtime import build_network
from sdk import Predictor
from sdk.artifact import read_artifact
from sdk.outputs.picture import to_uint8
from sdk.results import GeneratedImage
from sdk.spec import Spec
from tests.style_subjects import write_photos, write_style, write_vgg
from train.loop import train
from train.options import make_options
from train.tasks.style import SAME_MEAN


def _apart(one: GeneratedImage, other: GeneratedImage) -> float:
    """Mean absolute difference; 1 is from black to white."""
    return float(np.abs(one.pixels.astype(int) - other.pixels).mean()) / 255


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("style")
    options = make_options(
        "style",
        write_photos(folder / "photos"),
        folder / "run",
        style=write_style(folder / "style.png"),
        vgg=write_vgg(folder / "vgg.safetensors"),
        crop_size=16,
        image_size=32,
        style_size=32,
        crops=2,
        batch_size=2,
        epochs=1,
        width=4,
        blocks=1,
        threads=1,
        num_workers=0,
    )
    return train(options).checkpoint


@pytest.mark.parametrize("target", ["onnx", pytest.param("pte", marks=pytest.mark.slow)])
def test_style_artifact_paints_what_the_checkpoint_paints(
    checkpoint: Path, tmp_path: Path, target: str
) -> None:
    photos = checkpoint.parent.parent / "photos"
    (done,) = export_artifacts(checkpoint, [target], data=photos, out=tmp_path)
    assert done.artifact.manifest.evidence.metrics[0].name == "perceptual_loss"
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    odd = np.random.default_rng(1).integers(0, 256, (45, 27, 3), dtype=np.uint8)
    with Predictor(checkpoint) as predictor:
        wanted, wanted_odd = predictor.predict([square, odd])
    with Predictor(done.artifact.path) as predictor:
        found, found_odd = predictor.predict([square, odd])
    assert _apart(found, wanted) <= SAME_MEAN
    assert found_odd.pixels.shape == (45, 27, 3)
    if target == "onnx":  # elsewhere it was painted at another size, and stretched
        assert _apart(found_odd, wanted_odd) <= SAME_MEAN


def test_style_head_is_the_hosts_formula(checkpoint: Path) -> None:
    spec = at_fixed_size(read_artifact(checkpoint).spec)
    network = build_network({"name": spec.network.name, "arguments": spec.network.arguments}).eval()
    module, baked = bake(network, spec)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert (baked.graph().inputs[0].dtype, baked.graph().outputs[0].dtype) == ("uint8", "uint8")
    with torch.inference_mode():
        found = module(torch.from_numpy(pictures)).numpy()
        raw = network(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).numpy()
    # Where a value lies between two levels, another order of additions rounds it to the other one.
    apart = np.abs(found.astype(np.int16) - to_uint8(raw))
    assert apart.max() <= 1
    assert apart.mean() < 1e-3


class _Sized(nn.Module):
    """Gives something else at every size."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image / float(image.shape[2])


def test_network_that_depends_on_size_is_not_opened(checkpoint: Path) -> None:
    spec: Spec = read_artifact(checkpoint).spec
    with pytest.raises(EngineError, match="gives something else at"):
        lower_to_onnx(_Sized().eval(), spec)
