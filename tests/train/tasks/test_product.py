"""Task ``product``: how pictures are fed to which network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from runtimes import DataError
from tests.train.small_data import write_idx_folder, write_pictures
from train.networks.pretrained import IMAGENET_MEAN, IMAGENET_STD
from train.networks.torchvision_networks import mobilenet_v3_small
from train.options import make_options
from train.tasks import get_task, picture_plan


def _spec(data: Path, **given: Any) -> Any:
    options = make_options("product", data, "out", **given)
    return get_task("product").plan(options).spec


def test_idx_data_is_fed_grey_at_its_own_size(tmp_path: Path) -> None:
    spec = _spec(write_idx_folder(tmp_path / "data"))
    assert (spec.input.channels, spec.input.size_wh, spec.input.resize) == ("grey", (6, 8), "letterbox")
    assert spec.network.arguments == {"channels": 1, "classes": 3, "stages": 1}
    assert [str(info) for info in spec.graph().inputs] == ["float32 (1+, 1, 8, 6)"]


@pytest.mark.parametrize(
    ("given", "size", "shortest"),
    [({}, 64, 73), ({"model": "mobilenet_v3_small"}, 224, 256), ({"image_size": 32}, 32, 37)],
    ids=["compact_cnn", "torchvision", "given"],
)
def test_folders_are_fed_in_colour(
    colour_folder: Path, given: dict[str, Any], size: int, shortest: int
) -> None:
    spec = _spec(colour_folder, **given)
    assert spec.input.channels == "rgb"
    assert spec.input.size_wh == (size, size)
    assert (spec.input.resize, spec.input.shortest_px) == ("shortest", shortest)


@pytest.mark.parametrize(("asked", "written"), [(None, "full"), ("full", "full"), ("reduced", "reduced")])
def test_jpeg_scaling_is_full_unless_chosen(colour_folder: Path, asked: str | None, written: str) -> None:
    assert _spec(colour_folder, jpeg_scaling=asked).input.jpeg_scaling == written


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_resize_can_be_chosen(colour_folder: Path, resize: str) -> None:
    spec = _spec(colour_folder, resize=resize)
    assert (spec.input.resize, spec.input.shortest_px) == (resize, None)


def test_mean_and_deviation_are_measured_on_the_training_part(colour_folder: Path) -> None:
    spec = _spec(colour_folder, image_size=16)
    # Each channel is at 200 in one class and at 40 in two, with noise of -40..39 cut at 0.
    assert spec.input.mean == pytest.approx(((200 + 2 * 40) / 3 / 255,) * 3, abs=0.01)
    assert all(0.25 < deviation < 0.35 for deviation in spec.input.std)


def test_pretrained_networks_are_fed_as_they_were_trained(
    colour_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_plan, "load_torchvision_weights", lambda network, name: None)
    spec = _spec(colour_folder, model="mobilenet_v3_small", pretrained=True, image_size=32)
    assert (spec.input.mean, spec.input.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_weights_of_a_file_are_where_the_network_starts(colour_folder: Path, tmp_path: Path) -> None:
    source = mobilenet_v3_small(3, 5)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    options = make_options(
        "product",
        colour_folder,
        "out",
        model="mobilenet_v3_small",
        weights=tmp_path / "w.safetensors",
        image_size=32,
    )
    network = get_task("product").plan(options).network
    assert torch.equal(network.features[0][0].weight, source.features[0][0].weight)


def test_pictures_of_one_colour_are_refused(tmp_path: Path) -> None:
    for label in ("a", "b"):
        write_pictures(tmp_path / label, (999, 999, 999), 3, seed=0)
    with pytest.raises(DataError, match="Training pictures: got the same colour everywhere"):
        _spec(tmp_path)
