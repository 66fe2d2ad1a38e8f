"""A picture and its mask stay together, through the spec's resize and through every augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.inputs.image import ImageInput
from tests.sdk.conftest import image_input
from tests.train.mask_sets import COLOURS, write_set
from train.batches import Failure
from train.data import image_train_set
from train.data.mask_augmentation import MASK_AUGMENTATIONS, JointAugmentation
from train.data.mask_train_set import MaskTrainSet, mask_input, place_mask
from train.data.masks import IGNORED, open_masks
from train.sampling import Draw

_PAD = (128, 128, 128)
# Bilinear pixels between two colours have no class of their own: those on a box's edge and its corners.
_AGREED_SHARE = 0.8


def _set(data: Path, names: tuple[str, ...] = ("none",), image: ImageInput | None = None) -> MaskTrainSet:
    images = open_masks(data).read("train")
    image = image or image_input(size_wh=(24, 18), pad_colour=_PAD)
    return MaskTrainSet(images.items, images.masks, image, JointAugmentation(names, image.pad_colour))


def _classes_by_colour(pixels: np.ndarray) -> np.ndarray:
    palette = np.concatenate([COLOURS, [_PAD]]).astype(float)
    nearest = np.abs(pixels[:, :, None].astype(float) - palette).sum(axis=-1).argmin(axis=-1)
    return np.where(nearest == len(COLOURS), IGNORED, nearest)


@pytest.mark.parametrize("name", [name for name in MASK_AUGMENTATIONS if name != "colour-jitter"])
def test_mask_follows_its_picture(tmp_path: Path, name: str) -> None:
    train_set = _set(write_set(tmp_path / "set"), (name,))
    shares = []
    for seed in range(8):
        pixels, mask = train_set[Draw(seed, seed)]
        shares.append((_classes_by_colour(pixels) == mask).mean())
    assert min(shares) > _AGREED_SHARE
    assert np.mean(shares) > 0.9


def test_colours_change_and_the_mask_does_not(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set")
    plain, changed = (_set(data, (name,))[Draw(3, 5)] for name in ("none", "colour-jitter"))
    np.testing.assert_array_equal(plain[1], changed[1])
    assert (plain[0] != changed[0]).any()


def test_one_seed_gives_one_picture(tmp_path: Path) -> None:
    train_set = _set(write_set(tmp_path / "set"), ("flip", "scale", "rotate", "colour-jitter"))
    first, again, other = (train_set[Draw(2, seed)] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_kept_in_memory_or_not_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_set(tmp_path / "set")
    kept = _set(data)
    monkeypatch.setattr(image_train_set, "MEMORY_BYTES", 0)
    loaded = _set(data)
    assert (kept.in_memory, loaded.in_memory) == (True, False)
    for one, other in zip(kept[Draw(4, 1)], loaded[Draw(4, 1)], strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_is_normalised_by_the_spec(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set")
    train_set = _set(data)
    images, masks = train_set.collate([train_set[Draw(at, 0)] for at in (1, 2)])
    image = image_input(size_wh=(24, 18), pad_colour=_PAD)
    expected = image.batch([image.load(data / "images" / f"00{at}.png") for at in (1, 2)], ())["image"]
    np.testing.assert_array_equal(images.numpy(), expected)
    assert (masks.shape, str(masks.dtype)) == ((2, 18, 24), "torch.int64")


def test_padding_is_ignored() -> None:
    placing = mask_input(image_input(size_wh=(16, 16), resize="letterbox", pad_colour=(1, 1, 1)))
    placed = place_mask(np.full((20, 40), 2, np.uint8), placing)
    assert (placed[4:12] == 2).all()
    assert (placed[:4] == IGNORED).all() and (placed[12:] == IGNORED).all()


@pytest.mark.parametrize("size_wh", [(40, 20), (33, 47), (16, 16)], ids=str)
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_mask_lies_where_its_picture_lies(size_wh: tuple[int, int], resize: str) -> None:
    image = image_input(size_wh=(32, 32), resize=resize, pad_colour=_PAD)
    mask = np.zeros(size_wh[::-1], np.uint8)
    mask[size_wh[1] // 3 :, size_wh[0] // 4 :] = 1
    pixels = image.load(COLOURS[mask]).arrays["image"]
    placed = place_mask(mask, mask_input(image))
    assert (_classes_by_colour(pixels) == placed).mean() > 0.93


def test_mask_that_cannot_be_read_arrives_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_train_set, "MEMORY_BYTES", 0)
    data = write_set(tmp_path / "set")
    train_set = _set(data)
    Image.fromarray(np.full((18, 24), 9, np.uint8)).save(data / "masks" / "000.png")
    failure = train_set[Draw(0, 0)]
    assert isinstance(failure, Failure)
    assert "got class 9" in str(failure.error)
