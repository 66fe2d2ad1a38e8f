"""VGG's features against torchvision's own network, and the losses against their formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models.vgg import cfgs, make_layers

from runtimes import UsageError
from tests.style_subjects import write_style, write_vgg
from train.networks.pretrained import IMAGENET_MEAN, IMAGENET_STD
from train.style_losses import StyleJudge, StyleWeights, gram, total_variation
from train.style_picture import load_style
from train.vgg_features import LAYERS, load_vgg

CLOSE = 1e-4
"""float32 sums over thousands of products, in another memory layout."""


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors")


@pytest.mark.parametrize("original", [False, True], ids=["torchvision", "original weights"])
def test_vgg_features_are_torchvisions(vgg: Path, tmp_path: Path, original: bool) -> None:
    reference = make_layers(cfgs["D"]).eval()
    state = {name.removeprefix("features."): tensor.float() for name, tensor in load_file(vgg).items()}
    reference.load_state_dict(state, strict=False)
    pictures = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    if original:
        path = write_vgg(tmp_path / "bgr.safetensors", "", {"input": "BGR, 0..255 minus the mean"})
        x = pictures.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
    else:
        path = vgg
        x = (pictures - torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).reshape(
            1, 3, 1, 1
        )
    with torch.inference_mode():
        found = load_vgg(path)(pictures, tuple(LAYERS))
        for name, place in LAYERS.items():
            wanted = reference[: place + 2](x)
            assert torch.allclose(found[name], wanted, atol=CLOSE * float(wanted.abs().max())), name


def test_vgg_computes_nothing_behind_the_last_layer_asked_for(vgg: Path) -> None:
    found = load_vgg(vgg)(torch.rand(1, 3, 16, 16), ("relu2_2",))
    assert {name: tuple(one.shape) for name, one in found.items()} == {"relu2_2": (1, 128, 8, 8)}


def test_vgg_of_another_network_is_refused(vgg: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(3)}, other)
    with pytest.raises(UsageError, match=r"Option --vgg 'other.safetensors': got no tensor '0.weight'"):
        load_vgg(other)
    narrow = {name: tensor[:8].clone() for name, tensor in load_file(vgg).items()}
    save_file(narrow, other)
    with pytest.raises(UsageError, match=r"of shape \(8, 3, 3, 3\)"):
        load_vgg(other)
    other.write_bytes(b"no weights")
    with pytest.raises(UsageError, match="expected a .safetensors file"):
        load_vgg(other)


def test_gram_counts_features_that_occur_together() -> None:
    features = torch.zeros(1, 2, 2, 2)
    features[0, 0] = 1.0
    features[0, 1, 0] = 2.0
    assert torch.equal(gram(features)[0], torch.tensor([[4.0, 4.0], [4.0, 8.0]]) / 8)


def test_total_variation_is_zero_on_one_colour_and_one_on_stripes() -> None:
    stripes = torch.zeros(2, 3, 4, 6)
    stripes[1, :, :, ::2] = 1.0
    assert total_variation(stripes).tolist() == [0.0, 1.0]


def test_judge_finds_no_fault_with_the_style_and_the_content_themselves(vgg: Path, tmp_path: Path) -> None:
    style = load_style(write_style(tmp_path / "style.png"), 32)
    judge = StyleJudge(load_vgg(vgg), style)
    photo = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    same, painted, black = (judge.terms(x, photo) for x in (photo, style, torch.zeros_like(photo)))
    assert float(same.content) == 0.0
    assert float(same.style) > 10 * float(painted.style)
    assert float(painted.style) < CLOSE
    assert float(black.smooth) == 0.0
    assert float(painted.content) > 0.01
    total = painted.total(StyleWeights(2.0, 0.0, 3.0))
    assert float(total) == pytest.approx(2 * float(painted.content) + 3 * float(painted.smooth))


@pytest.mark.parametrize("size", [(1, 1), (15, 40)], ids=str)
def test_style_picture_that_is_too_small_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    from PIL import Image

    Image.new("RGB", size).save(tmp_path / "tiny.png")
    with pytest.raises(
        UsageError, match=rf"'tiny.png': got a picture of {size[0]}×{size[1]} pixels, expected at"
    ):
        load_style(tmp_path / "tiny.png", 32)
