"""Reading a folder per class."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from runtimes import DataError
from tests.train.small_data import CLASSES
from train.data.image_folder import ImageFolder
from train.data.sources import open_images


def test_image_folder_sorts_classes_and_pictures(colour_folder: Path) -> None:
    source = ImageFolder(colour_folder)
    images = source.read("train")
    assert source.splits == ("train",)
    assert images.labels == CLASSES
    assert np.bincount(images.targets).tolist() == [20, 20, 20]
    assert images.items == sorted(images.items)
    assert all(
        path.parent.name == CLASSES[target] for path, target in zip(images.items, images.targets, strict=True)
    )


def test_image_folder_finds_its_parts(split_folder: Path) -> None:
    source = ImageFolder(split_folder)
    assert source.splits == ("train", "val", "test")
    assert len(source.read("test").items) == 18


def test_fingerprint_changes_with_the_contents(colour_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(colour_folder, tmp_path / "copy"))
    before = ImageFolder(copy).read("train").sha256()
    assert before == ImageFolder(colour_folder).read("train").sha256()
    path = copy / "red" / "000.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert ImageFolder(copy).read("train").sha256() != before


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got an empty folder"):
        open_images(tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'nowhere': got no such folder"):
        open_images(tmp_path / "nowhere")


def test_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="'file': got a file"):
        open_images(tmp_path / "file")


def test_class_folder_without_pictures_is_refused(colour_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(colour_folder, tmp_path / "copy"))
    (copy / "yellow").mkdir()
    (copy / "yellow" / "readme.txt").write_text("none yet")
    with pytest.raises(DataError, match="Class folder 'yellow': got no pictures"):
        open_images(copy)


def test_single_class_is_refused(colour_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(colour_folder / "red", tmp_path / "data" / "red")
    with pytest.raises(DataError, match="got 1 class folders"):
        open_images(tmp_path / "data")


def test_parts_with_other_classes_are_refused(split_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(split_folder, tmp_path / "copy"))
    shutil.rmtree(copy / "val" / "red")
    with pytest.raises(DataError, match="'red' in only one of its parts train and val"):
        open_images(copy)


@pytest.mark.parametrize("content", [b"", b"this is text"], ids=["empty", "text"])
def test_file_that_is_no_picture_is_named(colour_folder: Path, tmp_path: Path, content: bytes) -> None:
    copy = Path(shutil.copytree(colour_folder, tmp_path / "copy"))
    (copy / "green" / "999.png").write_bytes(content)
    with pytest.raises(DataError, match=r"Picture green/999\.png"):
        open_images(copy)
