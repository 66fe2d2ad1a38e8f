"""Pictures with masks are read, and what is wrong with them is named in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import DataError
from tests.train.mask_sets import LABELS, write_set
from train.data.masks import open_masks, read_mask


def test_parts_are_found(tmp_path: Path) -> None:
    source = open_masks(write_set(tmp_path / "set", train=5, val=3, test=2))
    assert source.splits == ("train", "val", "test")
    assert [len(source.read(split).items) for split in source.splits] == [5, 3, 2]
    assert source.read("val").labels == LABELS


def test_pictures_meet_their_masks(tmp_path: Path) -> None:
    images = open_masks(write_set(tmp_path / "set")).read("train")
    assert [path.stem for path in images.items] == [path.stem for path in images.masks.paths]
    assert [int(mask.max()) for mask in images.masks[:4]] == [1, 2, 1, 2]
    assert images.masks[0].shape == (18, 24)


def test_part_without_masks_tells_no_truth(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", train=4, test=2)
    for mask in (data / "test" / "masks").iterdir():
        mask.unlink()
    (data / "test" / "masks").rmdir()
    source = open_masks(data)
    assert source.has_truth == {"train": True, "test": False}
    assert len(source.read("test").masks) == 0


def test_plain_folder_of_pictures_is_a_test_part(tmp_path: Path) -> None:
    source = open_masks(write_set(tmp_path / "set") / "images")
    assert (source.splits, source.labels) == (("test",), ())
    assert len(source.read("test").items) == 12


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_modes_of_indices_are_read_alike(tmp_path: Path, mode: str) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 2:5] = 1
    picture = Image.fromarray(mask)
    if mode == "P":
        picture.putpalette([0, 0, 0, 250, 10, 10])
    if mode == "1":
        picture = Image.fromarray(mask.astype(bool))
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", 2), mask)


def test_hash_follows_the_files(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set")
    before = open_masks(data).read("train").sha256()
    assert open_masks(data).read("train").sha256() == before
    Image.fromarray(np.full((18, 24), 1, np.uint8)).save(data / "masks" / "003.png", compress_level=0)
    assert open_masks(data).read("train").sha256() != before


def _no_mask(data: Path) -> None:
    (data / "masks" / "003.png").unlink()


def _no_picture(data: Path) -> None:
    (data / "images" / "003.png").unlink()


def _other_size(data: Path) -> None:
    Image.new("L", (5, 4)).save(data / "masks" / "003.png")


def _broken_mask(data: Path) -> None:
    (data / "masks" / "003.png").write_bytes(b"no picture")


def _broken_picture(data: Path) -> None:
    (data / "images" / "003.png").write_bytes(b"no picture")


def _past_the_list(data: Path) -> None:
    mask = np.zeros((18, 24), np.uint8)
    mask[2, 7] = 3
    Image.fromarray(mask).save(data / "masks" / "003.png")


def _colours(data: Path) -> None:
    Image.new("RGB", (24, 18)).save(data / "masks" / "003.png")


def _same_stem(data: Path) -> None:
    Image.new("RGB", (24, 18)).save(data / "images" / "003.jpg")


def _no_labels(data: Path) -> None:
    (data / "labels.txt").unlink()


def _equal_labels(data: Path) -> None:
    (data / "labels.txt").write_text("a\na\n")


def _no_pictures(data: Path) -> None:
    for path in (data / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_mask, "Picture images/003.png: got no mask, expected masks/003.png"),
        (_no_picture, "Mask masks/003.png: got no picture of that stem"),
        (_other_size, "Mask masks/003.png: got 5×4 px, expected 24×18 px"),
        (_broken_mask, "Picture masks/003.png: got"),
        (_broken_picture, "Picture images/003.png: got"),
        (_past_the_list, "Mask masks/003.png: got class 3 at x 7, y 2, expected a class from 0 to 2, or 255"),
        (_colours, "Mask masks/003.png: got a picture of mode RGB"),
        (_same_stem, "Picture images/003.png: got the stem of 003.jpg too"),
        (_no_labels, "File 'labels.txt': got .*No such file"),
        (_equal_labels, "File 'labels.txt': got 1 different of 2 names"),
        (_no_pictures, "Data set/images: got no pictures"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_bad_set_is_named_in_one_line(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    data = write_set(tmp_path / "set")
    spoil(data)
    with pytest.raises(DataError, match=message) as caught:
        list(open_masks(data).read("train").masks)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("made", [False, True], ids=["absent", "empty"])
def test_folder_that_is_no_set_is_refused(tmp_path: Path, made: bool) -> None:
    data = tmp_path / "nothing"
    if made:
        data.mkdir()
    with pytest.raises(DataError, match="Data 'nothing': got"):
        open_masks(data)
