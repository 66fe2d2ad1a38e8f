"""VGG-16's feature maps, which say what a picture shows and in what style.

Simonyan and Zisserman (2014), "Very deep convolutional networks for large-scale image recognition",
configuration D, up to its fourth block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from runtimes import UsageError
from runtimes.errors import first_line
from train.networks.pretrained import IMAGENET_MEAN, IMAGENET_STD

_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))
"""Places of the convolutions in torchvision's ``vgg16().features``; a block ends with halving."""
LAYERS: dict[str, int] = {
    f"relu{block}_{at}": place
    for block, places in enumerate(_BLOCKS, start=1)
    for at, place in enumerate(places, start=1)
}
"""Names of the feature maps, first to last, and the convolution before each."""
_CHANNELS = (64, 128, 256, 512)
_TORCHVISION_PREFIX = "features."
_CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)
"""What the original weights expect to be subtracted, from 0..255."""


class VggFeatures(nn.Module):
    """RGB pictures, 0..1, to feature maps. Its weights do not train.

    Args:
        weights: Weight and bias of each convolution by its place.
        bgr_levels: Whether the weights expect BGR from 0 to 255 less `_CAFFE_BGR_MEAN`, as the original ones
            do, rather than normalised RGB as torchvision's do.
    """

    def __init__(self, weights: Mapping[int, tuple[Tensor, Tensor]], *, bgr_levels: bool) -> None:
        super().__init__()
        for place, (weight, bias) in weights.items():
            self.register_buffer(f"weight_{place}", weight)
            self.register_buffer(f"bias_{place}", bias)
        self.bgr_levels = bgr_levels
        mean, std = (_CAFFE_BGR_MEAN, (1.0,) * 3) if bgr_levels else (IMAGENET_MEAN, IMAGENET_STD)
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The maps called `layers`, by name: (N, C, h, w); nothing behind the last of them is computed.

        Args:
            pictures: float32 (N, 3, H, W) RGB, 0..1.
            layers: Some of `LAYERS`.
        """
        x = pictures.flip(1) * 255.0 if self.bgr_levels else pictures
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        last = max(LAYERS[name] for name in layers)
        found = {}
        for name, place in LAYERS.items():
            if place > last:
                break
            if name.endswith("_1") and place > 0:
                x = functional.max_pool2d(x, 2)
            weight, bias = self.get_buffer(f"weight_{place}"), self.get_buffer(f"bias_{place}")
            x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
            if name in layers:
                found[name] = x
        return found


def load_vgg(path: Path, option: str = "--vgg") -> VggFeatures:
    """VGG-16 of a `.safetensors` file: weights named ``0.weight`` or ``features.0.weight`` onwards.

    Its metadata may say ``input``: with ``BGR`` in it, the weights are the original ones; without, they are
    torchvision's. The fully connected layers, and blocks behind the fourth, may be missing.

    Args:
        path: The file.
        option: What it was named with, for messages.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            prefix = _TORCHVISION_PREFIX if f"{_TORCHVISION_PREFIX}0.weight" in file.keys() else ""  # noqa: SIM118 - no dict
            there = set(file.keys())
            weights = {
                place: tuple(_tensor(file, f"{prefix}{place}.{kind}", there, path, option) for kind in _KINDS)
                for place in LAYERS.values()
            }
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"Option {option} {path.name!r}",
            got=first_line(error),
            expected="a .safetensors file with VGG-16's convolutions",
            fix="Check the path.",
        ) from error
    _require_shapes(weights, path, option)
    return VggFeatures(weights, bgr_levels="BGR" in metadata.get("input", "")).eval()


_KINDS = ("weight", "bias")


def _tensor(file: object, name: str, there: set[str], path: Path, option: str) -> Tensor:
    if name not in there:
        raise _other_network(path, option, f"no tensor {name!r}")
    tensor: Tensor = file.get_tensor(name)  # type: ignore[attr-defined]
    return tensor.to(torch.float32)


def _require_shapes(weights: Mapping[int, tuple[Tensor, ...]], path: Path, option: str) -> None:
    before = 3
    for places, channels in zip(_BLOCKS, _CHANNELS, strict=True):
        for place in places:
            weight, bias = weights[place]
            if weight.shape != (channels, before, 3, 3) or bias.shape != (channels,):
                raise _other_network(path, option, f"tensor '{place}.weight' of shape {tuple(weight.shape)}")
            before = channels


def _other_network(path: Path, option: str, got: str) -> UsageError:
    return UsageError(
        f"Option {option} {path.name!r}",
        got=got,
        expected="VGG-16's convolutions 0 to 21, named as in torchvision's vgg16().features",
        fix="Name a file of VGG-16's weights.",
    )
