"""Stored DICOM values to grey levels: rescaling, window or lookup table, polarity.

Section numbers are those of the DICOM standard, part 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from runtimes import Array, InputError

WINDOWS = ("header", "fixed", "full")


class Window(NamedTuple):
    """How values become grey levels.

    Attributes:
        rule: ``header``: the file's first window, or its lookup table. ``fixed``: `centre` and `width`.
            ``full``: from the darkest to the brightest value of the picture.
        centre: Of the fixed window, in rescaled units (Hounsfield units for CT); else None.
        width: Likewise.
    """

    rule: str
    centre: float | None
    width: float | None


def grey_levels(stored: Array, dataset: Any, frame: int, window: Window, subject: str) -> Array:
    """Grey levels uint8 (H, W), black 0 and white 255.

    Args:
        stored: Values of one frame, (H, W).
        dataset: Its description.
        frame: Which frame it is.
        window: How values become grey levels.
        subject: What messages call the file.

    Raises:
        InputError: The file has no window where the rule asks for its own, or one that makes no sense.
    """
    padding = _padding(stored, dataset)
    values = _rescaled(stored, dataset, frame)
    if window.rule == "full":
        shares = _full(values, padding)
    elif window.rule == "fixed":
        assert window.centre is not None
        assert window.width is not None
        shares = _linear(values, window.centre, window.width)
    else:
        shares = _as_in_header(values, dataset, frame, subject)
    levels = np.rint(np.clip(shares, 0.0, 1.0) * 255.0)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":  # low values are bright (C.7.6.3.1.2)
        levels = 255.0 - levels
    if padding is not None:
        levels[padding] = 0.0  # whatever the polarity: what surrounds the picture is not part of it
    return levels.astype(np.uint8)


def _padding(stored: Array, dataset: Any) -> Array | None:
    """Where the picture has been filled up to a rectangle (C.7.5.1.1.2); None where nowhere."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    other = limit if isinstance(limit, int) else value
    mask: Array = (stored >= min(value, other)) & (stored <= max(value, other))
    return mask


def _rescaled(stored: Array, dataset: Any, frame: int) -> Array:
    """Values in the units of the modality, float64 (C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        return np.asarray(apply_modality_lut(stored, dataset), np.float64)
    group = "PixelValueTransformationSequence"
    slope = _numbers(_of_frame(dataset, frame, group, "RescaleSlope")) or [1.0]
    intercept = _numbers(_of_frame(dataset, frame, group, "RescaleIntercept")) or [0.0]
    return stored.astype(np.float64) * slope[0] + intercept[0]


def _as_in_header(values: Array, dataset: Any, frame: int, subject: str) -> Array:
    """The file's own lookup table or first window, as shares of white (C.11.2)."""
    if dataset.get("VOILUTSequence"):
        from pydicom.pixels import apply_voi

        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = apply_voi(np.rint(values).astype(np.int64), dataset)
        return np.asarray(looked_up, np.float64) / ((1 << bits) - 1)
    group = "FrameVOILUTSequence"
    centres = _numbers(_of_frame(dataset, frame, group, "WindowCenter"))
    widths = _numbers(_of_frame(dataset, frame, group, "WindowWidth"))
    if not centres or not widths:
        raise InputError(
            subject,
            got="no window in its header",
            expected="a window, as the spec's window rule 'header' says",
            fix="Train with --window full, or with --window CENTRE/WIDTH.",
        )
    how = str(_of_frame(dataset, frame, group, "VOILUTFunction") or "LINEAR")
    centre, width = centres[0], widths[0]
    if width < 1.0 if how == "LINEAR" else width <= 0.0:
        raise InputError(
            subject,
            got=f"a window of width {width:g} in its header",
            expected="at least 1",
            fix="Train with --window full, or with --window CENTRE/WIDTH.",
        )
    if how == "SIGMOID":  # C.11.2.1.3.1; in its tanh form, which cannot overflow
        return np.asarray(0.5 * (1.0 + np.tanh(2.0 * (values - centre) / width)))
    if how == "LINEAR_EXACT":  # C.11.2.1.3.2
        return (values - centre) / width + 0.5
    return _linear(values, centre, width)


def _linear(values: Array, centre: float, width: float) -> Array:
    """The standard's linear window, C.11.2.1.2.1: a width of 1 is a threshold."""
    if width <= 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1.0) + 0.5


def _full(values: Array, padding: Array | None) -> Array:
    seen = values if padding is None else values[~padding]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _of_frame(dataset: Any, frame: int, group: str, keyword: str) -> Any:
    """An element of one frame: from its own functional group, the shared one, or the picture (C.7.6.16)."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for holder in (*own[frame : frame + 1], *shared[:1]):
        items = holder.get(group)
        if items and keyword in items[0]:
            return items[0].get(keyword)
    return dataset.get(keyword)


def _numbers(value: Any) -> list[float]:
    """One or several decimal strings as numbers; none where there is no value."""
    if value is None or value == "":
        return []
    several = value if not isinstance(value, (str, int, float)) and hasattr(value, "__iter__") else [value]
    return [float(number) for number in several]
