"""Reading idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtimes import DataError
from tests.train.small_data import write_idx, write_idx_folder
from train.data.idx import FASHION_LABELS, IdxFolder, find_idx_folder, read_idx


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["raw", "gzipped"])
def test_idx_folder_reads_pictures_and_labels(tmp_path: Path, suffix: str) -> None:
    source = IdxFolder(write_idx_folder(tmp_path / "data", suffix=suffix))
    images = source.read("train")
    assert source.splits == ("train", "test")
    assert source.size_wh == (6, 8)
    assert images.items.shape == (30, 8, 6)
    assert images.targets.dtype == np.int64
    assert images.targets[:4].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("inner", [".", "raw", "FashionMNIST/raw", "fashion-mnist"])
def test_find_idx_folder_knows_where_tools_put_them(tmp_path: Path, inner: str) -> None:
    write_idx_folder(tmp_path / inner)
    assert find_idx_folder(tmp_path) == tmp_path / inner


def test_find_idx_folder_without_files(tmp_path: Path) -> None:
    assert find_idx_folder(tmp_path) is None


def test_labels_come_from_the_file_beside(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "fashion-mnist")
    (folder / "labels.txt").write_text("dark\nmiddling\nbright\n")
    source = IdxFolder(folder)
    assert source.read("test").labels == ("dark", "middling", "bright")
    assert source.names_classes


@pytest.mark.parametrize("name", ["fashion-mnist", "FashionMNIST", "fashion_mnist_sample"])
def test_labels_of_fashion_mnist_by_path(tmp_path: Path, name: str) -> None:
    assert IdxFolder(write_idx_folder(tmp_path / name)).read("train").labels == FASHION_LABELS


def test_labels_are_numbers_where_nothing_names_them(tmp_path: Path) -> None:
    source = IdxFolder(write_idx_folder(tmp_path / "digits"))
    assert source.read("train").labels == ("0", "1", "2")
    assert not source.names_classes


def test_labels_file_with_too_few_names_is_refused(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "data")
    (folder / "labels.txt").write_text("dark\nbright\n")
    with pytest.raises(DataError, match=r"labels\.txt.*2 different names.*each of 3 classes"):
        IdxFolder(folder)


def test_class_beyond_the_training_part_is_refused(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "data")
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.full(30, 7, np.uint8))
    with pytest.raises(DataError, match="got class 7 in its test part, expected classes 0 to 2"):
        IdxFolder(folder).read("test")


def test_missing_labels_are_named(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "data")
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no train-labels-idx1-ubyte\[\.gz\]"):
        IdxFolder(folder)


def test_unequal_counts_are_refused(tmp_path: Path) -> None:
    folder = write_idx_folder(tmp_path / "data")
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(5, np.uint8))
    with pytest.raises(DataError, match="got 30 pictures and 5 labels"):
        IdxFolder(folder)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _text(path: Path) -> None:
    path.write_text("not a picture")


@pytest.mark.parametrize("damage", [_truncated, _empty, _flipped, _text])
def test_read_idx_names_a_damaged_gzip(tmp_path: Path, damage: object) -> None:
    folder = write_idx_folder(tmp_path / "data")
    path = folder / "train-images-idx3-ubyte.gz"
    damage(path)  # type: ignore[operator]
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz.*damaged"):
        read_idx(path)


@pytest.mark.parametrize("damage", [_truncated, _empty, _text])
def test_read_idx_names_a_damaged_raw_file(tmp_path: Path, damage: object) -> None:
    folder = write_idx_folder(tmp_path / "data", suffix="")
    path = folder / "train-images-idx3-ubyte"
    damage(path)  # type: ignore[operator]
    with pytest.raises(DataError, match="damaged"):
        read_idx(path)


def test_fashion_mnist_is_read_whole(shared_data: Path) -> None:
    source = IdxFolder(shared_data / "fashion-mnist")
    test = source.read("test")
    assert test.items.shape == (10_000, 28, 28)
    assert np.bincount(test.targets).tolist() == [1000] * 10
    assert test.labels == FASHION_LABELS
