"""From whatever a user has (path, bytes, PIL image, array) to one upright image, by stated rules."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from runtimes import InputError
from runtimes.errors import first_line

MAX_PIXELS = 89_478_485
"""Largest image that is decoded: a quarter of a gigabyte as RGB. Pillow's own warning limit."""

_IMAGE_EXPECTED = "a PNG, JPEG, WebP, BMP, GIF or TIFF image"
_EXIF_ORIENTATION = 0x0112


def decode_image(item: Any) -> Image.Image:
    """Decode one image and turn it upright.

    Args:
        item: A path, encoded bytes, a PIL image, or a uint8 array: (H, W, 3) RGB, (H, W) or
            (H, W, 1) grey.

    Returns:
        The first frame, with its EXIF orientation applied, in the mode in which it was stored.

    Raises:
        InputError: It is no image, is damaged, is larger than `MAX_PIXELS`, or is an array of
            another dtype or shape.
    """
    if isinstance(item, np.ndarray):
        return _from_array(item)
    if isinstance(item, Image.Image):
        return _upright(_within_limit(item, "Image"), "Image")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(item), "Image")
    if isinstance(item, (str, os.PathLike)):
        return _from_path(Path(item))
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


def _from_path(path: Path) -> Image.Image:
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
    return _from_bytes(data, f"Image {name!r}")


def _from_bytes(data: bytes, subject: str) -> Image.Image:
    if not data:
        raise InputError(
            subject, got="0 bytes", expected=_IMAGE_EXPECTED, fix="Fetch or save the file again."
        )
    try:
        image = Image.open(io.BytesIO(data))
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
    return _upright(_within_limit(image, subject), subject)


def _upright(image: Image.Image, subject: str) -> Image.Image:
    try:
        image.load()
        if image.getexif().get(_EXIF_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
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
    if width * height > MAX_PIXELS:
        raise _too_large(subject, f"{width}×{height} pixels")
    return image


def _too_large(subject: str, got: str) -> InputError:
    return InputError(
        subject, got=got, expected=f"at most {MAX_PIXELS} pixels", fix="Scale or tile the image first."
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
