"""Augmentation by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from train.data.augmentation import AUGMENTATIONS, Augmentation
from train.tasks import image_arguments

PICTURE = np.random.default_rng(0).integers(0, 255, (14, 14, 3), np.uint8)


def _changed(name: str, count: int = 12) -> list[np.ndarray]:
    augmentation = Augmentation((name,), (14, 14), "bilinear", 3)
    return [augmentation.change(PICTURE, seed) for seed in range(count)]


@pytest.mark.parametrize("name", ["flip", "vertical-flip", "shift", "colour-jitter"])
def test_change_keeps_shape_and_type(name: str) -> None:
    for pixels in _changed(name):
        assert pixels.shape == PICTURE.shape
        assert pixels.dtype == np.uint8


@pytest.mark.parametrize(("name", "axis"), [("flip", 1), ("vertical-flip", 0)])
def test_flips_mirror_some_pictures_exactly(name: str, axis: int) -> None:
    seen = {pixels.tobytes() for pixels in _changed(name, 30)}
    assert seen == {PICTURE.tobytes(), np.flip(PICTURE, axis).tobytes()}


def test_shift_moves_by_at_most_a_fourteenth() -> None:
    middle = PICTURE[1:-1, 1:-1]
    for pixels in _changed("shift"):
        places = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if np.array_equal(pixels[y : y + 12, x : x + 12], middle)
        ]
        assert len(places) == 1


def test_colour_jitter_changes_colours() -> None:
    assert all(not np.array_equal(pixels, PICTURE) for pixels in _changed("colour-jitter"))


def test_none_changes_nothing() -> None:
    assert all(np.array_equal(pixels, PICTURE) for pixels in _changed("none"))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_resized_crop_cuts_from_the_original(mode: str) -> None:
    augmentation = Augmentation(("resized-crop",), (20, 10), "bicubic", len(mode) if mode == "RGB" else 1)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 90, 3), np.uint8)).convert(mode)
    first, again, other = (augmentation.crop(picture, seed) for seed in (1, 1, 2))
    assert augmentation.needs_original
    assert first.shape == (10, 20, 3 if mode == "RGB" else 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_change_follows_from_its_seed_and_leaves_the_generator_alone() -> None:
    augmentation = Augmentation(("flip", "shift", "colour-jitter"), (14, 14), "bilinear", 3)
    before = torch.random.get_rng_state()
    first, again = augmentation.change(PICTURE, 7), augmentation.change(PICTURE, 7)
    assert np.array_equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_grey_pictures_can_be_jittered() -> None:
    grey = PICTURE[:, :, :1]
    changed = Augmentation(("colour-jitter",), (14, 14), "bilinear", 1).change(grey, 3)
    assert changed.shape == grey.shape


def test_the_command_line_offers_every_augmentation() -> None:
    assert image_arguments._AUGMENTATIONS == AUGMENTATIONS
