"""From a DICOM file to one 8-bit picture, by stated rules, keeping nothing else of the file.

Only the elements in `ELEMENTS` are ever kept in memory: what describes the pixels. Who the picture is of is
not among them. For the same reason no message of this module repeats what the DICOM library says: its errors
and warnings may quote the header.

Section numbers are those of the DICOM standard, part 3 (information object definitions).
"""

from __future__ import annotations

import io
import logging
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from runtimes import Array, EngineMissingError, InputError
from sdk.inputs.dicom_window import Window, grey_levels
from sdk.inputs.image_decode import LIMIT, TooManyPixelsError

SUFFIXES = (".dcm", ".dicom")
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
ELEMENTS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *PIXELS,
)  # fmt: skip
"""Everything that is read of a file, by DICOM keyword."""

FRAMES = ("only", "first", "middle")
_MAGIC, _MAGIC_AT = b"DICM", 128
_DAMAGE = (
    ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, RuntimeError, OSError,
    EOFError, OverflowError, struct.error,
)  # fmt: skip
_LIBJPEG = ("pylibjpeg-libjpeg", "medical-jpeg")
_OPENJPEG = ("pylibjpeg-openjpeg", "medical")
_PACKAGES = {
    "1.2.840.10008.1.2.5": ("pylibjpeg-rle", "medical"),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81)], _LIBJPEG),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)], _OPENJPEG),
}
"""Which package decodes a transfer syntax (part 5, annex A), and the extra that has it."""
_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle")
_LOCK = threading.Lock()
"""The libraries can be silenced for the whole process only."""


class DicomRules(NamedTuple):
    """What the standard leaves to the reader.

    Attributes:
        window: How values become grey levels.
        frame: Which frame of several: ``only`` refuses to choose, ``first``, ``middle``.
    """

    window: Window
    frame: str


def dicom_bytes(item: Any) -> tuple[bytes, str] | None:
    """The bytes of a DICOM file and what to call it; None when `item` is anything else.

    A file is DICOM by its suffix or by the four letters behind its preamble, bytes by the latter.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        data = bytes(item)
        return (data, "DICOM") if _has_magic(data) else None
    if not isinstance(item, (str, os.PathLike)):
        return None
    path = Path(item)
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC_AT + len(_MAGIC))
            if path.suffix.lower() not in SUFFIXES and not _has_magic(head):
                return None
            return head + file.read(), f"DICOM {path.name!r}"
    except (OSError, ValueError):
        return None  # the reader of ordinary pictures says what is wrong with the path


def decode_dicom(data: bytes, subject: str, rules: DicomRules) -> Image.Image:
    """One frame as a picture, ``L`` or ``RGB``, with nothing attached to it.

    Args:
        data: The file.
        subject: What messages call it.
        rules: Window and frame.

    Raises:
        InputError: It is no DICOM file, holds no pixels, is compressed in a way that cannot be decoded here,
            is damaged, or does not say what the rules ask of it.
        EngineMissingError: pydicom is not installed.
    """
    with quiet():
        dataset = read_elements(data, subject, ELEMENTS)
        _require_pixels(dataset, subject)
        _require_decoder(dataset, subject)
        frame = _frame(dataset, subject, rules.frame)
        try:
            from pydicom.pixels import apply_color_lut, pixel_array

            stored = pixel_array(dataset, index=frame)
            kind = str(dataset.PhotometricInterpretation)
            if kind == "PALETTE COLOR":
                return _colour(apply_color_lut(stored, dataset), None)
        except _DAMAGE:
            # Not `from error`: its text may quote the header.
            raise _damaged(subject) from None
        if stored.ndim == 3:
            return _colour(stored, int(dataset.BitsStored))
        return Image.fromarray(grey_levels(stored, dataset, frame, rules.window, subject))


def require_picture(path: Path) -> None:
    """Read a DICOM file's description, and refuse what `decode_dicom` could not decode; pixels are not.

    Raises:
        InputError: It cannot be read, is no DICOM file, holds no pixels, or needs another package.
        EngineMissingError: pydicom is not installed.
    """
    found = dicom_bytes(path)
    if found is None:
        raise InputError(f"DICOM {path.name!r}", got="no readable file", expected="a DICOM file",
                         fix="Check the path.")  # fmt: skip
    data, subject = found
    with quiet():
        dataset = read_elements(data, subject, ELEMENTS)
        _require_pixels(dataset, subject)
        _require_decoder(dataset, subject)


def read_elements(data: bytes, subject: str, elements: tuple[str, ...]) -> Any:
    """A `pydicom.Dataset` with the named elements and no others.

    Raises:
        InputError: It is no DICOM file.
        EngineMissingError: pydicom is not installed.
    """
    pydicom = import_pydicom()
    try:
        return pydicom.dcmread(io.BytesIO(data), specific_tags=list(elements))
    except (pydicom.errors.InvalidDicomError, *_DAMAGE):
        raise InputError(
            subject,
            got=f"{len(data)} bytes that are no DICOM file",
            expected="a DICOM file (part 10), which has the letters DICM at byte 128",
            fix="Check that the file is what its name says, and whole.",
        ) from None


def import_pydicom() -> Any:
    """The module.

    Raises:
        EngineMissingError: It is not installed.
    """
    try:
        import pydicom
        import pydicom.errors
    except ImportError as error:
        raise EngineMissingError(
            "Reader pydicom",
            got="no usable package",
            expected="pydicom, which reads DICOM files",
            fix="Run: pip install 'edgewright[medical]'.",
        ) from error
    return pydicom


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' warnings and logs, which may quote the header; errors are told by exceptions."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _has_magic(data: bytes) -> bool:
    return data[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def _require_pixels(dataset: Any, subject: str) -> None:
    if not any(name in dataset for name in PIXELS):
        raise InputError(
            subject,
            got="no pixel data",
            expected="a DICOM file with a picture",
            fix="Leave it out: reports, plans and indexes are DICOM files without one.",
        )
    try:
        width, height = int(dataset.Columns), int(dataset.Rows)
    except _DAMAGE:
        raise _damaged(subject) from None
    if width < 1 or height < 1:
        raise InputError(subject, got=f"{width}×{height} pixels", expected="at least 1×1",
                         fix="Export it again from where it came from.")  # fmt: skip
    if width * height > LIMIT.most:
        raise TooManyPixelsError(subject, got=f"{width}×{height} pixels",
                                 expected=f"1 to {LIMIT.most} pixels",
                                 fix="Scale or tile the picture first.")  # fmt: skip


def _require_decoder(dataset: Any, subject: str) -> None:
    """Refuse compressed pixels that nothing installed can decode, and name what could."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(subject, got="no transfer syntax", expected="file meta information that names it",
                         fix="Export it again from where it came from.")  # fmt: skip
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(
            subject,
            got=f"pixels in transfer syntax {_syntax_name(syntax)}",
            expected="uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000 pixels",
            fix="No package that pydicom knows decodes it: convert the file first, as gdcmconv --raw does.",
        ) from None
    if not decoder.is_available:
        package, extra = _PACKAGES.get(str(syntax), ("pylibjpeg", "medical"))
        raise InputError(
            subject,
            got=f"pixels in transfer syntax {_syntax_name(syntax)}, which need the package {package}",
            expected="pixels that an installed package decodes",
            fix=f"Run: pip install 'edgewright[{extra}]'.",
        )


def _syntax_name(syntax: Any) -> str:
    """The registered name; of a private one its number."""
    return syntax.name if syntax.name == str(syntax) else f"{syntax.name} ({syntax})"


def _frame(dataset: Any, subject: str, rule: str) -> int:
    try:
        count = int(dataset.get("NumberOfFrames") or 1)
    except _DAMAGE:
        raise _damaged(subject) from None
    if count < 1:
        raise _damaged(subject)
    if rule == "only" and count > 1:
        raise InputError(
            subject,
            got=f"{count} frames",
            expected="a single one, as the spec's frame rule 'only' says",
            fix="Store the frame that is meant, or train with --frame first or middle.",
        )
    return count // 2 if rule == "middle" else 0


def _colour(pixels: Array, bits: int | None) -> Image.Image:
    """RGB (H, W, 3) of `bits` bits, or of its whole dtype, as 8 bits a channel."""
    top = np.iinfo(pixels.dtype).max if bits is None else (1 << bits) - 1
    if top != 255:
        pixels = np.rint(pixels.astype(np.float64) * (255.0 / top)).clip(0, 255)
    return Image.fromarray(np.ascontiguousarray(pixels[..., :3].astype(np.uint8)))


def _damaged(subject: str) -> InputError:
    return InputError(
        subject,
        got="pixel data that is truncated, or contradicts its description",
        expected="a whole DICOM picture",
        fix="Fetch or export the file again.",
    )
