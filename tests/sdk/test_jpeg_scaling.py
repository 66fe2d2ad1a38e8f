"""JPEG files decoded at a reduced scale: the written rule, and that it changes little and moves nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import InputError
from tests.sdk.conftest import image_input

# In grey levels of 255. Smooth pictures come out within rounding; a shift by half a pixel of the result would
# change these gradients by several levels everywhere.
SMOOTH_MEAN, SMOOTH_WORST = 0.6, 4
# Real photos at 1/2 to 1/8: what the resampling filter and libjpeg's own do differently.
PHOTO_MEAN = 1.5


def smooth(width: int, height: int) -> Image.Image:
    """Gradients that tell left from right, top from bottom and either from the other."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    pixels = np.stack([255 * x, 255 * y, 127 + 127 * np.sin(3 * x + 5 * y)], axis=2)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def both(item: object, **fields: object) -> tuple[np.ndarray, np.ndarray]:
    full, reduced = (image_input(jpeg_scaling=how, **fields).load(item) for how in ("full", "reduced"))
    assert full.geometry == reduced.geometry
    return full.arrays["image"].astype(float), reduced.arrays["image"].astype(float)


@pytest.mark.parametrize(
    ("size_wh", "decoded_wh"),
    [
        ((127, 200), (127, 200)),
        ((128, 200), (64, 100)),
        ((127, 127), (64, 64)),
        ((129, 129), (65, 65)),
        ((250, 400), (63, 100)),
        ((600, 300), (75, 38)),
        ((4000, 128), (2000, 64)),
    ],
    ids=["too small", "half", "just enough", "rounded up", "quarter", "eighth", "short side"],
)
def test_reduced_takes_the_smallest_scale_that_is_twice_the_target(
    size_wh: tuple[int, int], decoded_wh: tuple[int, int]
) -> None:
    target = {(127, 200): (64, 64), (250, 400): (30, 30), (600, 300): (19, 19)}.get(size_wh, (32, 32))
    image = image_input(size_wh=target, jpeg_scaling="reduced")
    assert image.load(jpeg(smooth(*size_wh))).source.size == decoded_wh


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "shortest"])
@pytest.mark.parametrize("size_wh", [(641, 427), (427, 641), (1280, 720)], ids=str)
def test_reduced_moves_nothing(resize: str, size_wh: tuple[int, int]) -> None:
    shortest = 40 if resize == "shortest" else None
    full, reduced = both(jpeg(smooth(*size_wh)), size_wh=(36, 32), resize=resize, shortest_px=shortest)
    difference = np.abs(full - reduced)
    assert 0 < difference.mean() < SMOOTH_MEAN
    assert difference.max() <= SMOOTH_WORST


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_moves_nothing_whichever_way_is_up(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # 8·k + 1 pixels: libjpeg adds almost a whole pixel at the stored right and bottom.
    full, reduced = both(jpeg(smooth(1041, 721), exif=exif), size_wh=(44, 40))
    difference = np.abs(full - reduced)
    assert difference.mean() < SMOOTH_MEAN
    assert difference.max() <= SMOOTH_WORST


def test_reduced_reads_paths_and_bytes_alike_and_nothing_else_is_reduced(tmp_path: Path) -> None:
    image = image_input(size_wh=(32, 32), jpeg_scaling="reduced")
    data = jpeg(smooth(640, 480))
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    np.testing.assert_array_equal(image.load(path).arrays["image"], image.load(data).arrays["image"])
    opened = Image.open(path)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    for item in (opened, pixels, png.getvalue()):
        assert image.load(item).source.size == (640, 480)
    assert opened.size == (640, 480)  # the caller's picture stays as it was


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_reduced_takes_every_kind_of_jpeg(mode: str) -> None:
    full, reduced = both(jpeg(smooth(640, 480).convert(mode), progressive=True), size_wh=(32, 32))
    assert np.abs(full - reduced).mean() < SMOOTH_MEAN


def test_reduced_photos_look_the_same(shared_data: Path) -> None:
    for path in sorted((shared_data / "photos").iterdir()):
        data = jpeg(Image.open(path).convert("RGB"))
        full, reduced = both(data, size_wh=(64, 64))
        assert 0 < np.abs(full - reduced).mean() < PHOTO_MEAN, path.name


def test_reduced_damaged_jpeg_is_refused_in_one_line() -> None:
    image = image_input(size_wh=(32, 32), jpeg_scaling="reduced")
    data = jpeg(smooth(640, 480))
    with pytest.raises(InputError, match="got a damaged image"):
        image.load(data[: len(data) // 2])
