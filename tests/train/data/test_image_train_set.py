"""Training pictures go through the spec's decoder and normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import DataError
from sdk.inputs.image import IMAGE, ImageInput
from train.batches import Failure
from train.data.augmentation import Augmentation
from train.data.image_folder import ImageFolder
from train.data.image_train_set import ImageTrainSet
from train.sampling import Draw


def _input(**changes: object) -> ImageInput:
    fields = {
        "channels": "rgb", "size_wh": (16, 16), "resize": "stretch", "shortest_px": None,
        "filter": "bilinear", "pad_colour": (0, 0, 0), "alpha_colour": (0, 0, 0), "scale": 1 / 255,
        "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "jpeg_scaling": "full",
        "views": ("identity",),
    }  # fmt: skip
    return ImageInput(**{**fields, **changes})  # type: ignore[arg-type]


def _set(folder: Path, names: tuple[str, ...] = ("none",), **changes: object) -> ImageTrainSet:
    images = ImageFolder(folder).read("train")
    image_input = _input(**changes)
    augmentation = Augmentation(names, image_input.size_wh, "bilinear", image_input.channel_count)
    return ImageTrainSet(images.items, images.targets, image_input, augmentation)


def test_batch_without_augmentation_is_what_the_spec_gives(colour_folder: Path) -> None:
    train_set = _set(colour_folder)
    images, targets = train_set.collate([train_set[Draw(at, 1)] for at in (3, 25)])
    paths = ImageFolder(colour_folder).read("train").items
    wanted = _input().batch([_input().load(paths[at]) for at in (3, 25)], ())[IMAGE]
    assert np.array_equal(images.numpy(), wanted)
    assert targets.tolist() == [0, 1]


def test_training_shows_one_view_whatever_test_time_does(colour_folder: Path) -> None:
    train_set = _set(colour_folder, views=("identity", "mirror", "turn"))
    images, targets = train_set.collate([train_set[Draw(at, 1)] for at in (3, 25)])
    assert len(images) == len(targets) == 2


@pytest.mark.parametrize("names", [("flip", "shift"), ("resized-crop", "colour-jitter")])
def test_item_follows_from_its_seed(colour_folder: Path, names: tuple[str, ...]) -> None:
    train_set = _set(colour_folder, names)
    first, again, other = (train_set[Draw(5, seed)][0] for seed in (1, 1, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pixel_statistics_are_those_of_the_pixels(colour_folder: Path) -> None:
    train_set = _set(colour_folder)
    pixels = np.stack([train_set[Draw(at, 0)][0] for at in range(len(train_set))]) / 255.0
    mean, std = train_set.pixel_statistics(most=1000)
    assert mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert std == pytest.approx(pixels.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("channels", ["grey", "bgr"])
def test_other_channel_orders_come_from_the_spec(colour_folder: Path, channels: str) -> None:
    count = 1 if channels == "grey" else 3
    train_set = _set(colour_folder, channels=channels, mean=(0.0,) * count, std=(1.0,) * count)
    images, _ = train_set.collate([train_set[Draw(0, 0)]])
    assert images.shape == (1, count, 16, 16)
    if channels == "bgr":  # the first class is blue
        assert images[0, 0].mean() > images[0, 2].mean()


def test_damaged_picture_in_memory_is_named_at_once(colour_folder: Path, tmp_path: Path) -> None:
    paths = [_damaged_copy(colour_folder, tmp_path)]
    augmentation = Augmentation(("none",), (16, 16), "bilinear", 3)
    with pytest.raises(DataError, match=r"half\.png.*damaged"):
        ImageTrainSet(paths, np.zeros(1, np.int64), _input(), augmentation)


def test_damaged_picture_read_later_travels_as_a_value(colour_folder: Path, tmp_path: Path) -> None:
    paths = [_damaged_copy(colour_folder, tmp_path)]
    augmentation = Augmentation(("resized-crop",), (16, 16), "bilinear", 3)
    train_set = ImageTrainSet(paths, np.zeros(1, np.int64), _input(), augmentation)
    batch = train_set.collate([train_set[Draw(0, 0)]])
    assert isinstance(batch, Failure)
    assert isinstance(batch.error, DataError)


def _damaged_copy(colour_folder: Path, tmp_path: Path) -> Path:
    data = (colour_folder / "red" / "000.png").read_bytes()
    path = tmp_path / "half.png"
    path.write_bytes(data[: len(data) // 2])
    return path


def test_random_crops_are_cut_from_the_whole_jpeg_and_plain_pictures_follow_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "noise.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=95)
    items, targets = [path], np.zeros(1, np.int64)
    plain, cropped = (
        ImageTrainSet(
            items, targets, _input(jpeg_scaling="reduced"), Augmentation(names, (16, 16), "bilinear", 3)
        )
        for names in (("none",), ("resized-crop",))
    )
    wanted = _input(jpeg_scaling="reduced").load(path).arrays[IMAGE]
    np.testing.assert_array_equal(plain[Draw(0, 1)][0], wanted)
    assert cropped._source(0).size == (300, 200)
