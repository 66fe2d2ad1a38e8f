"""From whatever a user has (path, bytes, PIL image, array) to one upright image, by stated rules."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from runtimes import InputError
from runtimes.errors import first_line

MAX_PIXELS = 89_478_485
"""Largest image that is decoded: a quarter of a gigabyte as RGB. Pillow's own warning limit."""


@dataclass
class PixelLimit:
    """The largest image that this process decodes; servers lower it.

    Attributes:
        most: Width times height.
    """

    most: int = MAX_PIXELS


LIMIT = PixelLimit()


class TooManyPixelsError(InputError):
    """An image is larger than `LIMIT` allows."""


_IMAGE_EXPECTED = "a PNG, JPEG, WebP, BMP, GIF or TIFF image"
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations whose upright picture has width and height exchanged."""
_FLIPPED_X, _FLIPPED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
"""EXIF orientations whose upright picture has the stored one's end on its left, on its top."""
_READERS = {
    b"\xff\xd8\xff": ("PIL.JpegImagePlugin", "JpegImageFile"),
    b"\x89PNG\r\n\x1a\n": ("PIL.PngImagePlugin", "PngImageFile"),
}
"""Pillow's readers of the two usual formats by a file's first bytes. `Image.open` imports four more to find
the same one, which costs 5 ms of a first prediction."""
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError)

Reduce = Callable[[int, int], int]
"""From width and height of the upright original to 1, 2, 4 or 8."""


class Decoded(NamedTuple):
    """One upright picture.

    Attributes:
        image: The pixels, in the mode in which they were stored.
        size_wh: Width and height of the original in pixels.
        box: Where in `image` the original lies, left, top, right and bottom in its pixels, when a JPEG was
            decoded at a reduced scale; None when `image` is the original.
    """

    image: Image.Image
    size_wh: tuple[int, int]
    box: tuple[float, float, float, float] | None


def decode_image(item: Any) -> Image.Image:
    """Decode one image and turn it upright.

    Args:
        item: A path, encoded bytes, a PIL image, or a uint8 array: (H, W, 3) RGB, (H, W) or
            (H, W, 1) grey.

    Returns:
        The first frame, with its EXIF orientation applied, in the mode in which it was stored.

    Raises:
        InputError: It is no image, is damaged, is larger than `LIMIT` allows, or is an array of
            another dtype or shape.
    """
    return decode(item, None).image


def decode(item: Any, reduce: Reduce | None) -> Decoded:
    """Decode one image, JPEG files at the scale that `reduce` asks for, and turn it upright.

    Args:
        item: As for `decode_image`.
        reduce: Told the size of a JPEG file's upright picture, it names the whole number by which libjpeg
            divides it (its DCT gives 1/2, 1/4 and 1/8 for less than the price of the whole). Never
            asked about other formats, PIL images and arrays.

    Raises:
        InputError: As `decode_image`.
    """
    if isinstance(item, np.ndarray):
        return _whole(_from_array(item))
    if isinstance(item, Image.Image):
        return _whole(_upright(_within_limit(item, "Image"), "Image"))
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _from_bytes(item, "Image", reduce)
    if isinstance(item, (str, os.PathLike)):
        return _from_path(Path(item), reduce)
    raise InputError(
        "Image",
        got=type(item).__name__,
        expected="a path, bytes, PIL image, or (H, W, 3) uint8 RGB array",
        fix="Convert it, for example with np.asarray(…, dtype=np.uint8).",
    )


def flatten_modes(image: Image.Image, alpha_colour: tuple[int, int, int]) -> Image.Image:
    """Bring any Pillow mode to ``RGB`` or ``L``.

    Transparent pixels are laid over `alpha_colour`. CMYK, YCbCr, LAB, HSV and palettes become RGB by
    Pillow's conversion, without colour profiles. 16-bit grey is scaled by 255/65535 and rounded, so
    black and white stay black and white; nothing is stretched to the image's own range.

    Raises:
        InputError: The mode has no stated range (32-bit float, or integers beyond 16 bit).
    """
    if image.mode in ("RGB", "L"):
        return image
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        over = image.convert("RGBA")
        under = Image.new("RGBA", over.size, (*alpha_colour, 255))
        return Image.alpha_composite(under, over).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I"):
        return _from_16_bit(np.asarray(image))
    if image.mode == "F":
        raise InputError(
            "Image",
            got="32-bit float pixels",
            expected="8 or 16 bits per channel",
            fix="Scale it to 0..255 and store it as 8-bit.",
        )
    return image.convert("RGB")


def _from_16_bit(pixels: np.ndarray[Any, Any]) -> Image.Image:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise InputError(
            "Image",
            got=f"integer pixels from {low} to {high}",
            expected="8 or 16 bits per channel",
            fix="Scale it to 0..65535.",
        )
    return Image.fromarray(np.rint(pixels * (255.0 / 65535.0)).astype(np.uint8))


def _whole(image: Image.Image) -> Decoded:
    return Decoded(image, image.size, None)


def _from_path(path: Path, reduce: Reduce | None) -> Decoded:
    name = path.name or str(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(
            f"Image {name!r}",
            got=getattr(error, "strerror", None) or str(error),
            expected="a readable image file",
            fix="Check the path.",
        ) from error
    return _from_bytes(data, f"Image {name!r}", reduce)


def _from_bytes(data: bytes | bytearray | memoryview, subject: str, reduce: Reduce | None) -> Decoded:
    if not len(data):
        raise InputError(
            subject, got="0 bytes", expected=_IMAGE_EXPECTED, fix="Fetch or save the file again."
        )
    try:
        image = _opened(io.BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(subject, first_line(error)) from error
    except UnidentifiedImageError as error:
        raise InputError(
            subject,
            got=f"{len(data)} bytes that are no image",
            expected=_IMAGE_EXPECTED,
            fix="Check that the file is what its name says.",
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _damaged(subject, error) from error
    image = _within_limit(image, subject)
    if reduce is not None and image.format == "JPEG":
        return _from_jpeg(image, subject, reduce)
    return _whole(_upright(image, subject))


def _opened(stream: io.BytesIO) -> Image.Image:
    start = stream.read(8)
    stream.seek(0)
    for magic, (module, reader) in _READERS.items():
        if start.startswith(magic):
            try:
                opened: Image.Image = getattr(import_module(module), reader)(stream)
                return opened
            except _DAMAGE:
                stream.seek(0)
                break  # Pillow's own search says what is wrong with it
    return Image.open(stream)


def _from_jpeg(image: Image.Image, subject: str, reduce: Reduce) -> Decoded:
    """A JPEG at the scale that suits its upright size; its header says which way is up."""
    width, height = image.size
    try:
        turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    except _DAMAGE as error:
        raise _damaged(subject, error) from error
    original_wh = (height, width) if turn in _SIDEWAYS else (width, height)
    divisor = reduce(*original_wh)
    if divisor == 1:
        return _whole(_upright(image, subject))
    # Asked for a size, Pillow takes the smallest scale that is no smaller: this size has no other answer.
    image.draft(None, (width // divisor, height // divisor))
    upright = _upright(image, subject)
    # libjpeg rounds up to whole pixels, so the last ones may be covered in part only; turning the picture
    # may bring these to its left or top.
    inside_w, inside_h = original_wh[0] / divisor, original_wh[1] / divisor
    left = upright.width - inside_w if turn in _FLIPPED_X else 0.0
    top = upright.height - inside_h if turn in _FLIPPED_Y else 0.0
    return Decoded(upright, original_wh, (left, top, left + inside_w, top + inside_h))


def _upright(image: Image.Image, subject: str) -> Image.Image:
    try:
        image.load()
        if image.getexif().get(_EXIF_ORIENTATION, 1) == 1:
            return image
        from PIL import ImageOps  # rarely needed, and 2 ms of a first prediction

        return ImageOps.exif_transpose(image)
    except _DAMAGE as error:
        raise _damaged(subject, error) from error


def _within_limit(image: Image.Image, subject: str) -> Image.Image:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(
            subject,
            got=f"{width}×{height} pixels",
            expected="at least 1×1",
            fix="Check how the image was made.",
        )
    if width * height > LIMIT.most:
        raise _too_large(subject, f"{width}×{height} pixels")
    return image


def _too_large(subject: str, got: str) -> InputError:
    return TooManyPixelsError(
        subject, got=got, expected=f"at most {LIMIT.most} pixels", fix="Scale or tile the image first."
    )


def _damaged(subject: str, error: BaseException) -> InputError:
    return InputError(
        subject,
        got=f"a damaged image ({first_line(error)})",
        expected=_IMAGE_EXPECTED,
        fix="Fetch or save the file again.",
    )


def _from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    colour = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise InputError(
            "Image",
            got=f"{array.dtype} {array.shape}",
            expected="uint8 (H, W, 3) RGB or (H, W) grey",
            fix="Use (255 * x).clip(0, 255).astype(np.uint8)."
            if array.dtype.kind == "f"
            else "Use .astype(np.uint8), and pass a list for several images.",
        )
    pixels = np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and grey else array)
    return _within_limit(Image.fromarray(pixels), "Image")
