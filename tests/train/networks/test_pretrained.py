"""Pretrained weights from a file, and from torchvision without internet."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from runtimes import UsageError
from train.networks.pretrained import load_torchvision_weights, load_weights, load_weights_file
from train.networks.torchvision_networks import resnet18


@pytest.fixture
def colour_weights(tmp_path: Path) -> Path:
    """Weights of a colour ResNet-18 with nine classes."""
    torch.manual_seed(1)
    save_file(resnet18(3, 9).state_dict(), tmp_path / "colour.safetensors")
    return tmp_path / "colour.safetensors"


def test_weights_file_fills_all_but_a_head_for_other_classes(colour_weights: Path) -> None:
    network, source = resnet18(3, 4), resnet18(3, 9)
    load_weights_file(source, colour_weights)
    before = network.fc.weight.clone()
    load_weights_file(network, colour_weights)
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert torch.equal(network.bn1.running_mean, source.bn1.running_mean)
    assert torch.equal(network.fc.weight, before)


def test_weights_file_fills_a_head_that_fits(colour_weights: Path) -> None:
    network = resnet18(3, 9)
    before = network.fc.weight.clone()
    load_weights_file(network, colour_weights)
    assert not torch.equal(network.fc.weight, before)


def test_colour_weights_answer_a_grey_picture_alike(colour_weights: Path) -> None:
    grey, colour = resnet18(1, 9).eval(), resnet18(3, 9).eval()
    load_weights_file(grey, colour_weights)
    load_weights_file(colour, colour_weights)
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        # Three products are summed in another order: float32 rounding only.
        torch.testing.assert_close(grey(picture), colour(picture.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bn1.weight"), "no tensor 'bn1.weight'"),
        (lambda state: state.update(extra=torch.zeros(1)), "an unknown tensor 'extra'"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "a misshapen tensor 'bn1.bias'"),
    ],
    ids=["missing", "unknown", "misshapen"],
)
def test_weights_that_do_not_fit_are_named(change: object, message: str) -> None:
    state = resnet18(3, 4).state_dict()
    change(state)  # type: ignore[operator]
    with pytest.raises(UsageError, match=message):
        load_weights(resnet18(3, 4), state, "w")


@pytest.mark.parametrize("content", [None, b"", b"junk" * 9], ids=["missing", "empty", "junk"])
def test_unreadable_weights_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"Weights 'w\.safetensors'"):
        load_weights_file(resnet18(3, 4), path)


def test_torchvision_weights_without_internet_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"Pretrained weights of resnet18: got none in .* no download"
    ) as caught:
        load_torchvision_weights(resnet18(3, 4), "resnet18")
    assert "\n" not in str(caught.value)


def test_torchvision_weights_come_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision.models import ResNet18_Weights

    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(3)
    source = resnet18(3, 1000)
    file = cache / Path(ResNet18_Weights.DEFAULT.url).name
    torch.save(source.state_dict(), file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = resnet18(3, 4)
    load_torchvision_weights(network, "resnet18")
    assert torch.equal(network.conv1.weight, source.conv1.weight)


def test_networks_without_torchvision_weights_are_named() -> None:
    with pytest.raises(UsageError, match="--pretrained: got it for compact_cnn"):
        load_torchvision_weights(torch.nn.Linear(1, 1), "compact_cnn")
