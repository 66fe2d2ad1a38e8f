"""Configurations and weights of Darknet that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from runtimes import UsageError
from tests.train.networks.darknet_files import HEADER_BYTES, TINY_NUMBERS, yolov3_config
from train.networks.darknet_config import DarknetModel, read_config
from train.networks.darknet_weights import load_weights, weights_file
from train.networks.yolov3 import yolov3, yolov3_tiny


@pytest.fixture
def tiny_config(shared_data: Path) -> str:
    return (shared_data / "yolov3-tiny" / "yolov3-tiny.cfg").read_text()


def test_config_says_network_classes_anchors_and_size(shared_data: Path) -> None:
    assert read_config(shared_data / "yolov3-tiny" / "yolov3-tiny.cfg") == DarknetModel(
        name="yolov3_tiny",
        classes=80,
        anchors_wh=(((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58))),
        size_wh=(416, 416),
    )


def test_config_of_yolov3_with_other_classes_and_anchors(tmp_path: Path) -> None:
    path = tmp_path / "own.cfg"
    path.write_text(yolov3_config(classes=2, anchors=2, side=608))
    model = read_config(path)
    assert (model.name, model.arguments, model.size_wh) == (
        "yolov3",
        {"classes": 2, "anchors": 2},
        (608, 608),
    )
    assert model.anchors_wh == (((50, 55), (60, 65)), ((30, 35), (40, 45)), ((10, 15), (20, 25)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "filters=255",
            "filters=250",
            r"250 channels before section 16 \[yolo\], expected 255: 3 anchors of",
        ),
        ("mask = 3,4,5", "mask = 3,4,6", r"mask=3,4,6 of 12 anchor numbers in section 16"),
        ("mask = 3,4,5", "mask = 3,4", r"255 channels before section 16 \[yolo\], expected 170: 2 anchors"),
        ("classes=80", "classes=eighty", r"classes=eighty in section 16, expected whole numbers"),
        ("width=416", "width=400", r"400x416 pixels, expected multiples of 32"),
        (
            "layers = -1, 8",
            "layers = -1, 9",
            r"section 20 \[route\] layers=19,9, expected \[route\] layers=19,8",
        ),
        ("activation=leaky", "activation=mish", r"section 0 \[convolutional\] activation=mish"),
        ("[maxpool]", "[avgpool]", r"section 1 \[avgpool\]"),
        ("[yolo]", "[region]", r"0 \[yolo\] sections, expected 3 \(YOLOv3\) or 2"),
        ("[upsample]\nstride=2\n", "", r"23 sections, expected 24, those of yolov3_tiny"),
        ("[net]", "what is this", r"'what is this' in line \d+, expected \[section\] or key=value"),
        ("[net]", "[network-in-network]", r"\[network-in-network\] first, expected \[net\]"),
    ],
)
def test_config_of_another_network_is_refused(
    tiny_config: str, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in tiny_config
    path = tmp_path / "changed.cfg"
    path.write_text(tiny_config.replace(old, new))
    with pytest.raises(UsageError, match=message):
        read_config(path)


def test_config_with_different_classes_per_scale_is_refused(tmp_path: Path) -> None:
    text = yolov3_config(classes=2)
    head, _, tail = text.rpartition("filters=21")
    path = tmp_path / "uneven.cfg"
    path.write_text(head + "filters=24" + tail.replace("classes=2", "classes=3"))
    with pytest.raises(UsageError, match=r"\[2, 3\] classes and \[3\] anchors, expected one number of each"):
        read_config(path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""], ids=["missing", "binary", "empty"])
def test_config_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.cfg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"Configuration 'broken.cfg': got"):
        read_config(path)


def test_weights_fill_the_network_in_the_order_of_the_file(shared_data: Path, tmp_path: Path) -> None:
    counted = np.arange(TINY_NUMBERS, dtype=np.float32)
    path = tmp_path / "counted.weights"
    path.write_bytes(np.array([0, 2, 0, 7, 0], "<i4").tobytes() + counted.tobytes())
    network = read_config(shared_data / "yolov3-tiny" / "yolov3-tiny.cfg").build()
    load_weights(network, path)
    convolution, norm = network.features.stem[0], network.features.stem[1]
    for tensor, first in (
        (norm.bias, 0),
        (norm.weight, 16),
        (norm.running_mean, 32),
        (norm.running_var, 48),
        (convolution.weight, 64),
    ):
        assert torch.equal(tensor.flatten(), torch.arange(first, first + tensor.numel(), dtype=torch.float32))
    # The last convolution ends the file: 255 biases, then 255 × 256 weights.
    last = network.head[1]
    assert float(last.weight.flatten()[-1].detach()) == TINY_NUMBERS - 1
    assert float(last.bias[0].detach()) == TINY_NUMBERS - 255 * 257


def test_weights_are_written_as_they_were_read(shared_data: Path) -> None:
    path = shared_data / "yolov3-tiny" / "yolov3-tiny.weights"
    network = yolov3_tiny(80)
    load_weights(network, path)
    assert weights_file(network)[HEADER_BYTES:] == path.read_bytes()[HEADER_BYTES:]


def test_old_header_is_four_bytes_shorter(tmp_path: Path) -> None:
    network = yolov3_tiny(1)
    numbers = weights_file(network)[HEADER_BYTES:]
    path = tmp_path / "old.weights"
    path.write_bytes(np.array([0, 1, 0, 7], "<i4").tobytes() + numbers)
    other = yolov3_tiny(1)
    load_weights(other, path)
    assert torch.equal(other.features.stem[0].weight, network.features.stem[0].weight)


def test_weights_of_another_size_are_refused_by_byte_count(tmp_path: Path) -> None:
    path = tmp_path / "yolov3.weights"
    path.write_bytes(np.array([0, 2, 0, 7, 0], "<i4").tobytes() + bytes(4000))
    with torch.device("meta"):
        network = yolov3(80)
    with pytest.raises(UsageError, match=r"got 4,020 bytes, expected 248,007,048: 62,001,757 numbers"):
        load_weights(network, path)


@pytest.mark.parametrize("content", [None, b"", b"\0" * 15], ids=["missing", "empty", "stub"])
def test_weights_that_cannot_be_read_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.weights"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"Weights 'broken.weights': got"):
        load_weights(yolov3_tiny(1), path)


def test_weights_that_diverged_are_refused(tmp_path: Path) -> None:
    network = yolov3_tiny(1)
    data = bytearray(weights_file(network))
    data[HEADER_BYTES : HEADER_BYTES + 4] = np.array(np.nan, "<f4").tobytes()
    path = tmp_path / "nan.weights"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="NaN or infinite weights"):
        load_weights(network, path)
