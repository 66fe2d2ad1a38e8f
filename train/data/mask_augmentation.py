"""Random changes to a picture and its mask together, with torchvision's transforms v2, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from runtimes import Array
from train.data.augmentation import JITTER
from train.data.masks import IGNORED
from train.sampling import seeded

MASK_AUGMENTATIONS = ("none", "flip", "vertical-flip", "scale", "rotate", "colour-jitter")
SCALES = (0.7, 1.4)
SHIFT_SHARE = 0.1
"""Largest shift that comes with ``scale``, as a share of the side."""
DEGREES = 15.0


class JointAugmentation:
    """A chain of random changes; what moves pixels moves the mask alike.

    Args:
        names: Some of `MASK_AUGMENTATIONS`.
        pad_colour: RGB, where a picture was moved away from. The mask is ignored there.
    """

    needs_original = False
    """Whether it cuts from the picture before the spec resizes it."""

    def __init__(self, names: Sequence[str], pad_colour: tuple[int, int, int]) -> None:
        steps: list[Any] = []
        if "flip" in names:
            steps.append(v2.RandomHorizontalFlip())
        if "vertical-flip" in names:
            steps.append(v2.RandomVerticalFlip())
        if "scale" in names or "rotate" in names:
            steps.append(_affine(names, pad_colour))
        if "colour-jitter" in names:
            steps.append(v2.ColorJitter(**JITTER))
        self._steps = steps

    def change(self, pixels: Array, mask: Array, seed: int) -> tuple[Array, Array]:
        """A picture uint8 (H, W, 3) and its mask uint8 (H, W), changed alike.

        Args:
            pixels: RGB.
            mask: Class indices.
            seed: Everything random follows from it.
        """
        if not self._steps:
            return pixels, mask
        picture: Any = tv_tensors.Image(torch.from_numpy(np.array(pixels)).permute(2, 0, 1))
        classes: Any = tv_tensors.Mask(torch.from_numpy(np.array(mask)))
        with seeded(seed):
            for step in self._steps:
                picture, classes = step(picture, classes)
        return picture.permute(1, 2, 0).numpy(), classes.numpy()


def _affine(names: Sequence[str], pad_colour: tuple[int, int, int]) -> v2.Transform:
    scaled = "scale" in names
    return v2.RandomAffine(
        degrees=DEGREES if "rotate" in names else 0.0,
        translate=(SHIFT_SHARE, SHIFT_SHARE) if scaled else None,
        scale=SCALES if scaled else None,
        interpolation=InterpolationMode.BILINEAR,
        fill={tv_tensors.Image: list(pad_colour), tv_tensors.Mask: IGNORED},
    )
