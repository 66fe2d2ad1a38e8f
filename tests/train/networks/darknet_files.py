"""Darknet's files made on the spot, and an interpreter of them that knows nothing of our networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

YOLOV3_NUMBERS = 62_001_757
"""What the published yolov3.weights holds: 248,007,048 bytes with its header of 20."""
TINY_NUMBERS = 8_858_734
HEADER_BYTES = 20


def yolov3_config(classes: int = 80, anchors: int = 3, filters: int | None = None, side: int = 416) -> str:
    """The configuration of YOLOv3, section by section as it was published."""
    filters = anchors * (5 + classes) if filters is None else filters
    text = [f"[net]\n# as published\nwidth={side}\nheight={side}\nchannels=3"]
    text += [_convolution(32, 3)]
    for width, depth in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        text += [_convolution(width, 3, stride=2)]
        text += [_convolution(width // 2, 1), _convolution(width, 3), "[shortcut]\nfrom=-3"] * depth
    shapes = ",".join(f"{10 * n},{10 * n + 5}" for n in range(1, 3 * anchors + 1))
    for scale, width in enumerate((512, 256, 128)):
        if scale:
            skip = {1: 61, 2: 36}[scale]
            text += ["[route]\nlayers = -4", _convolution(width, 1), "[upsample]\nstride=2"]
            text += [f"[route]\nlayers = -1, {skip}"]
        text += [_convolution(width, 1), _convolution(2 * width, 3)] * 3
        text += [f"[convolutional]\nsize=1\nstride=1\npad=1\nfilters={filters}\nactivation=linear"]
        first = (2 - scale) * anchors
        mask = ",".join(str(first + at) for at in range(anchors))
        text += [f"[yolo]\nmask = {mask}\nanchors = {shapes}\nclasses={classes}\nnum={3 * anchors}"]
    return "\n\n".join(text) + "\n"


def _convolution(filters: int, side: int, stride: int = 1) -> str:
    return (
        f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={side}\nstride={stride}\npad=1\n"
        "activation=leaky"
    )


def run_darknet(config: Path, weights: Path, image: Tensor) -> list[Tensor]:
    """The raw maps in front of the yolo sections, by following the configuration line by line.

    Args:
        config: A ``.cfg``.
        weights: Its ``.weights``.
        image: float32 (N, 3, H, W).
    """
    numbers = _Numbers(weights)
    done: list[Tensor] = []
    maps: list[Tensor] = []
    now = image
    for kind, values in _sections(config)[1:]:
        if kind == "convolutional":
            now = _convolve(now, values, numbers)
        elif kind == "maxpool":
            stride = int(values["stride"])
            # A window that sticks out sees only what is there.
            now = F.max_pool2d(F.pad(now, (0, 2 - stride, 0, 2 - stride), value=-torch.inf), 2, stride)
        elif kind == "shortcut":
            now = now + done[int(values["from"])]
        elif kind == "upsample":
            now = now.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        elif kind == "route":
            now = torch.cat([done[int(layer)] for layer in values["layers"].split(",")], dim=1)
        else:
            maps.append(now)
        done.append(now)
    assert numbers.left() == 0
    return maps


class _Numbers:
    """What follows the header of a weights file, taken from front to back."""

    def __init__(self, weights: Path) -> None:
        self._numbers = torch.from_numpy(np.fromfile(weights, np.float32)[HEADER_BYTES // 4 :].copy())
        self._at = 0

    def take(self, *shape: int) -> Tensor:
        taken = self._numbers[self._at : self._at + int(np.prod(shape))]
        self._at += len(taken)
        return taken.reshape(shape)

    def left(self) -> int:
        return len(self._numbers) - self._at


def _convolve(now: Tensor, values: dict[str, str], numbers: _Numbers) -> Tensor:
    filters, side = int(values["filters"]), int(values["size"])
    shift = numbers.take(1, filters, 1, 1)
    normalised = values.get("batch_normalize") == "1"
    norm = [numbers.take(1, filters, 1, 1) for _ in range(3)] if normalised else []
    kernel = numbers.take(filters, now.shape[1], side, side)
    now = F.conv2d(now, kernel, stride=int(values["stride"]), padding=side // 2)
    if normalised:
        scale, mean, variance = norm
        now = (now - mean) / torch.sqrt(variance + 1e-5) * scale
    now = now + shift
    return torch.where(now > 0, now, 0.1 * now) if values["activation"] == "leaky" else now


def _sections(config: Path) -> list[tuple[str, dict[str, str]]]:
    sections: list[tuple[str, dict[str, str]]] = []
    for line in config.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            sections.append((text[1:-1], {}))
        elif text:
            key, _, value = text.partition("=")
            sections[-1][1][key.strip()] = value.strip()
    return sections
