"""YOLOv3 and its tiny sister: shapes, sizes, and the same numbers as Darknet's own order of operations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from runtimes import EngineError
from runtimes.torch_runtime import build_network
from tests.train.networks.darknet_files import (
    HEADER_BYTES,
    TINY_NUMBERS,
    YOLOV3_NUMBERS,
    run_darknet,
    yolov3_config,
)
from train.networks.darknet_blocks import OBJECT_PRIOR, SameSizePool
from train.networks.darknet_config import read_config
from train.networks.darknet_weights import load_weights, weights_file
from train.networks.freezing import stages_of

CLOSE = 1e-4
"""Raw maps are some units large; the same sums in another order differ by about 1e-5."""


def _network(name: str, **arguments: int) -> nn.Module:
    network: nn.Module = build_network({"name": name, "arguments": arguments})
    return network


def _stored_numbers(network: nn.Module) -> int:
    """Weights and running statistics: what Darknet stores."""
    return sum(each.numel() for each in network.state_dict().values() if each.ndim)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("name", "strides"), [("yolov3", (32, 16, 8)), ("yolov3_tiny", (32, 16))], ids=["full", "tiny"]
)
def test_forward_gives_a_raw_map_per_stride(name: str, strides: tuple[int, ...], training: bool) -> None:
    network = _network(name, classes=2, anchors=4).train(training)
    with torch.no_grad():
        maps = network(torch.rand(2, 3, 64, 96))
    assert isinstance(maps, tuple)
    assert network.strides == strides
    assert [tuple(each.shape) for each in maps] == [(2, 4 * 7, 64 // s, 96 // s) for s in strides]
    assert all(each.dtype == torch.float32 for each in maps)


@pytest.mark.parametrize(
    ("name", "count"), [("yolov3", YOLOV3_NUMBERS), ("yolov3_tiny", TINY_NUMBERS)], ids=["full", "tiny"]
)
def test_network_has_as_many_numbers_as_the_published_weights(name: str, count: int) -> None:
    with torch.device("meta"):
        network = _network(name, classes=80)
    assert _stored_numbers(network) == count


def test_tiny_gives_what_darknet_gives_with_the_published_weights(shared_data: Path) -> None:
    folder = shared_data / "yolov3-tiny"
    config, weights = folder / "yolov3-tiny.cfg", folder / "yolov3-tiny.weights"
    network = read_config(config).build().eval()
    load_weights(network, weights)
    _assert_same(
        network, config, weights, torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    )


def test_full_network_gives_what_darknet_gives(tmp_path: Path) -> None:
    config, weights = tmp_path / "yolov3.cfg", tmp_path / "yolov3.weights"
    config.write_text(yolov3_config(classes=3))
    generator = torch.Generator().manual_seed(0)
    network = read_config(config).build().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # a fresh one would hide a swap of its four tensors
            for tensor, low in ((module.weight, 0.8), (module.bias, -0.1), (module.running_mean, -0.1)):
                tensor.data.uniform_(low, low + 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    weights.write_bytes(weights_file(network))
    fresh = read_config(config).build().eval()
    load_weights(fresh, weights)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), fresh.parameters(), strict=True))
    _assert_same(fresh, config, weights, torch.rand(1, 3, 64, 32, generator=generator))
    weights.unlink()  # a quarter of a gigabyte, which pytest would keep for three runs


def _assert_same(network: nn.Module, config: Path, weights: Path, image: Tensor) -> None:
    with torch.inference_mode():
        maps, expected = network(image), run_darknet(config, weights, image)
    assert len(maps) == len(expected)
    for ours, theirs in zip(maps, expected, strict=True):
        assert float(theirs.std()) > 10 * CLOSE
        torch.testing.assert_close(ours, theirs, atol=CLOSE, rtol=CLOSE)


def test_published_layout_of_yolov3_has_the_published_size() -> None:
    with torch.device("meta"):
        network = _network("yolov3", classes=80)
    modules = [section.module for section in network.darknet_sections() if section.module is not None]
    assert len(modules) == 75
    stored = sum(_stored_numbers(module) for module in modules)
    assert HEADER_BYTES + 4 * stored == 248_007_048


def test_same_size_pool_lets_its_window_stick_out_right_and_below() -> None:
    picture = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -9.0, -5.0], [-6.0, -8.0, -7.0]])
    expected = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -5.0], [-6.0, -7.0, -7.0]])
    assert torch.equal(SameSizePool()(picture[None, None])[0, 0], expected)


def test_untrained_network_says_that_nothing_is_there() -> None:
    network = _network("yolov3_tiny", classes=2).eval()
    with torch.no_grad():
        maps = network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    objectness = maps[0].unflatten(1, (3, 7))[:, :, 4].sigmoid()
    assert float(objectness.max()) < 10 * OBJECT_PRIOR


@pytest.mark.parametrize("name", ["yolov3", "yolov3_tiny"])
def test_stages_run_from_picture_to_head(name: str) -> None:
    with torch.device("meta"):
        names = [stage for stage, _ in stages_of(_network(name, classes=1))]
    assert names[0] == "features.stem"
    assert names[-2:] == ["neck", "head"]


@pytest.mark.parametrize(
    "arguments", [{"classes": 0}, {"classes": 1, "anchors": 0}], ids=["classes", "anchors"]
)
def test_builder_refuses_nothing_to_predict(arguments: dict[str, int]) -> None:
    with pytest.raises(EngineError, match="classes . anchors .|classes ., anchors ."):
        _network("yolov3_tiny", **arguments)
