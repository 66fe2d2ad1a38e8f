"""The stated rules for whatever picture a user has."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import InputError
from sdk.inputs.image_decode import MAX_PIXELS, decode_image, flatten_modes

WHITE = (255, 255, 255)
GRADIENT = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["path", "str", "bytes", "bytearray", "pil", "array"])
def test_decode_every_way_in_gives_the_same_pixels(tmp_path: Path, how: str) -> None:
    image = Image.fromarray(GRADIENT)
    path = tmp_path / "picture.png"
    image.save(path)
    items = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "pil": image,
        "array": GRADIENT,
        "bytearray": bytearray(path.read_bytes()),
    }
    np.testing.assert_array_equal(np.asarray(decode_image(items[how])), GRADIENT)


ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 1)[:, ::-1].transpose(0, 1, 2)[::1],
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 8])
def test_decode_applies_exif_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(GRADIENT), exif=exif)
    np.testing.assert_array_equal(np.asarray(decode_image(data)), ORIENTATIONS[orientation](GRADIENT))


def test_flatten_grey_stays_grey() -> None:
    grey = Image.fromarray(GRADIENT[:, :, 0])
    assert flatten_modes(decode_image(encode(grey)), WHITE).mode == "L"


def test_flatten_alpha_shows_the_stated_colour() -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    pixels[0, 1] = (10, 20, 30, 0)
    pixels[1, 0] = (0, 0, 0, 128)
    flat = np.asarray(flatten_modes(decode_image(encode(Image.fromarray(pixels))), (200, 100, 50)))
    np.testing.assert_array_equal(flat[0, 0], (10, 20, 30))
    np.testing.assert_array_equal(flat[0, 1], (200, 100, 50))
    np.testing.assert_allclose(flat[1, 0], (100, 50, 25), atol=1)  # half of the colour, rounded by Pillow


def test_flatten_palette_with_transparency() -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0] + [0] * 762)
    palette.putpixel((1, 0), 1)
    flat = np.asarray(flatten_modes(decode_image(encode(palette, transparency=1)), (1, 2, 3)))
    np.testing.assert_array_equal(flat, [[[255, 0, 0], [1, 2, 3]]])


def test_flatten_cmyk_jpeg_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 40)).convert("CMYK")
    flat = np.asarray(flatten_modes(decode_image(encode(red, "JPEG", quality=95)), WHITE))
    np.testing.assert_allclose(flat.mean(axis=(0, 1)), (220, 30, 40), atol=4)  # JPEG's own loss


def test_flatten_16_bit_grey_is_scaled_not_clipped_or_stretched() -> None:
    levels = np.array([[0, 257, 32768, 65535]], np.uint16)
    flat = np.asarray(flatten_modes(decode_image(encode(Image.fromarray(levels))), WHITE))
    np.testing.assert_array_equal(flat, [[0, 1, 128, 255]])
    narrow = np.array([[1000, 1100]], np.uint16)
    flat = np.asarray(flatten_modes(decode_image(encode(Image.fromarray(narrow))), WHITE))
    np.testing.assert_array_equal(flat, [[4, 4]])


def test_flatten_one_bit() -> None:
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    np.testing.assert_array_equal(np.asarray(flatten_modes(decode_image(encode(bits)), WHITE)), [[0, 255]])


def test_flatten_float_tiff_has_no_stated_range() -> None:
    data = encode(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")
    with pytest.raises(InputError, match="got 32-bit float pixels, expected 8 or 16 bits"):
        flatten_modes(decode_image(data), WHITE)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_start(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds one pixel row's worth of nothing."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0"))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
PHOTO, DRAWING = encode(NOISE, "JPEG"), encode(NOISE)
BAD_BYTES = {
    "text called png": (b"this is no picture\n" * 20, "bytes that are no image"),
    "empty": (b"", "got 0 bytes"),
    "bomb": (_png_start(50_000, 50_000), r"expected at most \d+ pixels"),
    "header only": (_png_start(64, 64), "a damaged image"),
    "cut jpeg": (PHOTO[: len(PHOTO) // 2], "a damaged image"),
    "cut png": (DRAWING[: len(DRAWING) // 2], "a damaged image"),
}


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", sorted(BAD_BYTES))
@pytest.mark.parametrize("way", ["bytes", "path"])
def test_decode_refuses_bad_bytes_in_one_line(tmp_path: Path, name: str, way: str) -> None:
    data, message = BAD_BYTES[name]
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        decode_image(path if way == "path" else data)
    assert "\n" not in str(caught.value)
    assert way == "bytes" or "'picture.png'" in str(caught.value)


BAD_ARRAYS = {
    "float": (np.zeros((4, 4, 3)), r"got float64 \(4, 4, 3\).*\(255 \* x\)"),
    "float with nan": (np.full((4, 4, 3), np.nan, np.float32), r"got float32 \(4, 4, 3\)"),
    "batch": (np.zeros((1, 4, 4, 3), np.uint8), r"got uint8 \(1, 4, 4, 3\).*pass a list"),
    "channels first": (np.zeros((3, 4, 4), np.uint8), r"got uint8 \(3, 4, 4\)"),
    "alpha": (np.zeros((4, 4, 4), np.uint8), r"got uint8 \(4, 4, 4\)"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)"),
    "int": (np.zeros((4, 4, 3), np.int64), r"got int64"),
    "a number": (3.5, "got float, expected a path, bytes"),
    "none": (None, "got NoneType"),
}


@pytest.mark.parametrize("name", sorted(BAD_ARRAYS))
def test_decode_refuses_bad_arrays_in_one_line(name: str) -> None:
    item, message = BAD_ARRAYS[name]
    with pytest.raises(InputError, match=message) as caught:
        decode_image(item)
    assert "\n" not in str(caught.value)


def test_decode_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'gone.png': got No such file"):
        decode_image(tmp_path / "gone.png")
    with pytest.raises(InputError, match="got Is a directory"):
        decode_image(tmp_path)
    with pytest.raises(InputError, match="null"):
        decode_image("a\0b.png")


def test_decode_limit_holds_for_arrays_of_the_right_size_only() -> None:
    assert MAX_PIXELS < 50_000 * 50_000
    strip = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1, 5, 3))
    assert decode_image(strip).size == (5, 1)
