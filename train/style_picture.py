"""The picture whose style is taken, and pictures as VGG and the losses take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from runtimes import Array, UsageError
from train.data.photos import load_photo
from train.networks.style_sizes import SMALLEST_PX

LONGEST_SHARE = 2
"""A longer side of a style picture counts up to so many shorter ones, around its middle."""


def load_style(path: Path, shorter_px: int, option: str = "--style") -> Tensor:
    """A style picture with its shorter side at `shorter_px`: float32 (1, 3, H, W), 0..1.

    Raises:
        DataError: It cannot be read.
        UsageError: It is too small to have a style.
    """
    picture = load_photo(path)
    width, height = picture.size
    if min(width, height) < SMALLEST_PX:
        raise UsageError(
            f"Option {option} {path.name!r}",
            got=f"a picture of {width}×{height} pixels",
            expected=f"at least {SMALLEST_PX}×{SMALLEST_PX}: a style is a pattern over many pixels",
            fix="Choose a larger picture.",
        )
    most = LONGEST_SHARE * min(width, height)
    left, top = (max(0, (extent - most) // 2) for extent in (width, height))
    picture = picture.crop((left, top, min(width, left + most), min(height, top + most)))
    ratio = shorter_px / min(picture.size)
    size = (round(picture.width * ratio), round(picture.height * ratio))
    return as_tensor(np.asarray(picture.resize(size, Image.Resampling.BICUBIC)))


def as_tensor(picture: Array) -> Tensor:
    """uint8 (H, W, 3) to float32 (1, 3, H, W), 0..1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255.0
