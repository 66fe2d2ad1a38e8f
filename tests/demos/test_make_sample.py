"""The bundled sample: real, balanced, small, and made again bit by bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demos.make_sample import SAMPLE_DIR, first_of_each_class, write_idx
from train.data.idx import read_idx

MAX_BYTES = 4_000_000


@pytest.mark.parametrize(("prefix", "per_class"), [("train", 600), ("t10k", 100)])
def test_sample_holds_every_class_equally_often(prefix: str, per_class: int) -> None:
    images = read_idx(SAMPLE_DIR / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(SAMPLE_DIR / f"{prefix}-labels-idx1-ubyte.gz")

    assert images.shape == (10 * per_class, 28, 28)
    assert np.bincount(labels).tolist() == [per_class] * 10


def test_sample_is_small_and_names_its_licence() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_DIR.iterdir()) <= MAX_BYTES
    assert "Copyright (c) 2017 Zalando SE" in (SAMPLE_DIR / "LICENSE.txt").read_text()


def test_sample_has_no_test_picture_among_the_training_pictures() -> None:
    train, test = (read_idx(SAMPLE_DIR / f"{prefix}-images-idx3-ubyte.gz") for prefix in ("train", "t10k"))

    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}


def test_sample_is_made_again_from_the_full_set(shared_data: Path, tmp_path: Path, root: Path) -> None:
    source = shared_data / "fashion-mnist"
    command = [sys.executable, "-m", "demos.make_sample", str(source), "--out", str(tmp_path)]
    subprocess.run(command, check=True, cwd=root)

    for path in tmp_path.iterdir():
        # Images are compared, not gzip's bytes: another zlib packs them differently.
        assert np.array_equal(read_idx(path), read_idx(SAMPLE_DIR / path.name)), path.name


def test_first_of_each_class_keeps_file_order() -> None:
    labels = np.array([1, 0, 1, 1, 0, *range(2, 10)], np.uint8)

    assert first_of_each_class(labels, 2)[:4].tolist() == [0, 1, 2, 4]


def test_idx_comes_back_as_written(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", array)
    first = (tmp_path / "a.gz").read_bytes()
    write_idx(tmp_path / "a.gz", array)

    assert np.array_equal(read_idx(tmp_path / "a.gz"), array)
    assert (tmp_path / "a.gz").read_bytes() == first
