"""Augmentation with torchvision's transforms v2, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from runtimes import Array
from train.sampling import seeded

AUGMENTATIONS = ("none", "flip", "vertical-flip", "shift", "resized-crop", "colour-jitter")

SHIFT_SHARE = 1 / 14
"""Largest shift as a share of the side: 2 pixels of 28."""
CROP_AREA = (0.35, 1.0)
"""Share of the area that ``resized-crop`` keeps."""
JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}
_GREY_JITTER = {"brightness": 0.3, "contrast": 0.3}

_INTERPOLATION = {
    "nearest": InterpolationMode.NEAREST,
    "box": InterpolationMode.BOX,
    "bilinear": InterpolationMode.BILINEAR,
    "hamming": InterpolationMode.HAMMING,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
    "opencv_bilinear": InterpolationMode.BILINEAR,  # of a crop of random size, how it is shrunk matters less
}


class Augmentation:
    """A chain of random changes to one picture.

    Args:
        names: Some of `AUGMENTATIONS`.
        size_wh: What the network takes.
        resampling: Pillow's filter of the spec.
        channels: 1 or 3.
    """

    def __init__(
        self, names: Sequence[str], size_wh: tuple[int, int], resampling: str, channels: int
    ) -> None:
        width, height = size_wh
        self._crop = None
        if "resized-crop" in names:
            how = _INTERPOLATION[resampling]
            self._crop = v2.RandomResizedCrop((height, width), scale=CROP_AREA, interpolation=how)
        steps = [_step(name, width, height, channels) for name in AUGMENTATIONS if name in names]
        self._steps = [step for step in steps if step is not None]

    @property
    def needs_original(self) -> bool:
        """Whether it cuts from the picture before the spec resizes it."""
        return self._crop is not None

    def crop(self, picture: Image.Image, seed: int) -> Array:
        """A random crop of a decoded picture at the network's size: uint8 (H, W, C)."""
        assert self._crop is not None
        with seeded(seed):
            cut = np.asarray(self._crop(picture))
        return cut[:, :, None] if cut.ndim == 2 else cut

    def change(self, pixels: Array, seed: int) -> Array:
        """Flips, shifts and colours of a picture uint8 (H, W, C) at the network's size."""
        if not self._steps:
            return pixels
        tensor: Any = torch.from_numpy(pixels.copy() if not pixels.flags.writeable else pixels).permute(
            2, 0, 1
        )
        with seeded(seed):
            for step in self._steps:
                tensor = step(tensor)
        return tensor.permute(1, 2, 0).numpy()


def _step(name: str, width: int, height: int, channels: int) -> Any:
    if name == "flip":
        return v2.RandomHorizontalFlip()
    if name == "vertical-flip":
        return v2.RandomVerticalFlip()
    if name == "shift":
        return _Shift(max(1, round(SHIFT_SHARE * width)), max(1, round(SHIFT_SHARE * height)))
    if name == "colour-jitter":
        return v2.ColorJitter(**(JITTER if channels == 3 else _GREY_JITTER))
    return None


class _Shift:
    """Moves a picture by whole pixels and repeats its border: black bars would be a mark no real picture has.

    `v2.RandomCrop(padding_mode="edge")` does the same in 190 µs for 28×28 where this takes 15, which was a
    sixth of an epoch (torchvision 0.29).
    """

    def __init__(self, most_x: int, most_y: int) -> None:
        self._most = (most_x, most_y)

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Shift a picture (C, H, W)."""
        for axis, most in zip((2, 1), self._most, strict=True):
            offset = int(torch.randint(-most, most + 1, ()))
            extent = picture.shape[axis]
            picture = picture.index_select(axis, (torch.arange(extent) + offset).clamp_(0, extent - 1))
        return picture
