"""The filter for models that were trained behind OpenCV: bilinear without antialiasing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.sdk.conftest import image_input

PHOTO = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
LEVELS = 1.001
"""Pillow cuts to whole levels where torch keeps fractions."""


@pytest.mark.parametrize("size_wh", [(16, 12), (26, 18), (53, 40), (130, 90)], ids=str)
def test_opencv_bilinear_reads_four_pixels(size_wh: tuple[int, int]) -> None:
    tensor = torch.as_tensor(PHOTO).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(tensor, size_wh[::-1], mode="bilinear", align_corners=False)
    found = image_input(size_wh=size_wh, filter="opencv_bilinear").load(PHOTO).arrays["image"]
    apart = found.astype(float) - wanted[0].permute(1, 2, 0).numpy()

    assert np.abs(apart).max() <= LEVELS


def test_opencv_bilinear_does_not_widen_when_it_shrinks() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 255
    sharp, smooth = (
        image_input(size_wh=(7, 7), filter=name).load(stripes).arrays["image"].std()
        for name in ("opencv_bilinear", "bilinear")
    )
    assert sharp > 2 * smooth


def test_opencv_bilinear_takes_the_part_of_a_reduced_jpeg() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 333).astype(np.uint8)[None, :, None], (200, 333, 3))
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "JPEG", quality=95)
    image = image_input(size_wh=(16, 12), filter="opencv_bilinear")
    full = image.load(buffer.getvalue()).arrays["image"].astype(int)
    reduced = replace(image, jpeg_scaling="reduced").load(buffer.getvalue()).arrays["image"].astype(int)

    assert np.abs(full - reduced).max() <= 3  # a ramp of 16 levels a column, of either size
