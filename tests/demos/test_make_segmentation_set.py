"""The set is what it says: exact masks, nothing shared between its parts, the same files every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos.make_segmentation_set import LABELS, SAMPLE_DIR, make_set, silhouette
from runtimes import UsageError
from sdk.inputs.image_decode import decode_image
from train.data.boxes import upright_size
from train.data.idx import read_idx
from train.data.masks import open_masks

COUNTS = (12, 4, 4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of one colour each."""
    folder = tmp_path_factory.mktemp("photos")
    for at in range(5):
        Image.new("RGB", (300 + 20 * at, 260), (10, 50 * at, 0)).save(folder / f"{at}.png")
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set")
    make_set(SAMPLE_DIR, [photos], out, COUNTS, side=96)
    return out


def test_set_can_be_trained_on(made: Path) -> None:
    source = open_masks(made)
    assert source.labels == LABELS
    for split, count in zip(("train", "val", "test"), COUNTS, strict=True):
        images = source.read(split)
        masks = list(images.masks)
        assert len(masks) == count
        assert all(mask.any() and not mask.all() for mask in masks)
        assert max(max(upright_size(path)) for path in images.items) == 96


def test_mask_is_where_the_picture_is_not_the_photo(made: Path) -> None:
    # The photos have a red of at most 13 after brightening; no product is that dark in all three channels.
    images = open_masks(made).read("test")
    for path, mask in zip(images.items, images.masks, strict=True):
        pixels = np.asarray(decode_image(path)).astype(int)
        photo = (pixels[:, :, 0] <= 13) & (pixels[:, :, 2] == 0)
        outside = mask == 0
        # The edge is blended over a pixel or two on either side.
        assert (photo & outside).sum() > 0.85 * outside.sum()
        assert (photo & ~outside).sum() < 0.15 * (~outside).sum()


def test_same_arguments_give_the_same_files(made: Path, photos: Path, tmp_path: Path) -> None:
    make_set(SAMPLE_DIR, [photos], tmp_path, (2, 1, 1), side=96)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert len(files) == 9
    assert [(tmp_path / file).read_bytes() for file in files] == [
        (made / file).read_bytes() for file in files
    ]


def test_other_seed_gives_other_pictures(made: Path, photos: Path, tmp_path: Path) -> None:
    make_set(SAMPLE_DIR, [photos], tmp_path, (1, 1, 1), side=96, seed=1)
    name = "train/images/00000.png"
    assert (tmp_path / name).read_bytes() != (made / name).read_bytes()


def test_silhouette_is_one_piece_with_its_holes_filled() -> None:
    ring = np.zeros((28, 28), np.uint8)
    ring[5:20, 5:20] = 200
    ring[9:14, 9:14] = 0
    filled = np.asarray(silhouette(ring)) == 255
    assert filled[5:20, 5:20].all()
    assert filled.sum() == 15 * 15


def test_silhouette_of_a_real_product_leaves_the_background() -> None:
    images = read_idx(SAMPLE_DIR / "t10k-images-idx3-ubyte.gz")
    shares = [(np.asarray(silhouette(image)) > 0).mean() for image in images[:50]]
    assert 0.2 < float(np.mean(shares)) < 0.8


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "only.png")
    with pytest.raises(UsageError, match="Option --photos: got 1 photos"):
        make_set(SAMPLE_DIR, [tmp_path], tmp_path / "out", COUNTS, side=96)
