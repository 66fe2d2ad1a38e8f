"""How far two answers to one item are the same, in words that fit the kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sdk.outputs.nms import iou_matrix
from sdk.results import (
    Arrays,
    Classification,
    Detections,
    Embedding,
    Forecast,
    GeneratedImage,
    GeneratedText,
    Segmentation,
)

SAME_BOX = 0.5
"""Intersection over union from which on two boxes of one label are the same find."""
SAME_COSINE = 0.99
SAME_SHARE = 0.01
"""Of values: forecasts this close, pictures this close from black to white, count as the same."""


class Agreement(NamedTuple):
    """Whether two answers are the same for whoever asked, and how far."""

    same: bool
    words: str


def agreement(found: Any, expected: Any) -> Agreement:
    """Hold an answer against another one to the same item.

    Args:
        found: A typed result.
        expected: Another, of the same type.
    """
    for kind, compare in _COMPARE.items():
        if isinstance(found, kind) and isinstance(expected, kind):
            return compare(found, expected)
    return Agreement(found == expected, "same answer" if found == expected else "another answer")


def _classes(found: Classification, expected: Classification) -> Agreement:
    apart = float(np.abs(found.scores - expected.scores).max())
    same = found.label == expected.label
    return Agreement(same, f"{'same' if same else 'another'} label, scores within {apart:.2g}")


def _boxes(found: Detections, expected: Detections) -> Agreement:
    overlap = iou_matrix(found.boxes_xyxy, expected.boxes_xyxy)
    overlap = np.where(np.equal.outer(found.class_ids, expected.class_ids), overlap, 0.0)
    matched = int((overlap.max(axis=0) >= SAME_BOX).sum()) if overlap.size else 0
    same = matched == len(expected) == len(found)
    return Agreement(same, f"{matched} of {len(expected)} boxes found again, {len(found)} in all")


def _masks(found: Segmentation, expected: Segmentation) -> Agreement:
    if found.mask.shape != expected.mask.shape:
        return Agreement(False, "a mask of another size")
    share = float((found.mask == expected.mask).mean())
    return Agreement(share >= 1 - SAME_SHARE, f"{share:.2%} of the pixels the same")


def _vectors(found: Embedding, expected: Embedding) -> Agreement:
    if len(found.vector) != len(expected.vector):
        return Agreement(False, "a vector of another length")
    cosine = found.similarity(expected)
    return Agreement(cosine >= SAME_COSINE, f"cosine {cosine:.4f}")


def _forecasts(found: Forecast, expected: Forecast) -> Agreement:
    if found.values.shape != expected.values.shape:
        return Agreement(False, "another number of rows")
    largest = max(float(np.abs(expected.values).max()), float(np.finfo(np.float32).tiny))
    share = float(np.abs(found.values - expected.values).max()) / largest
    return Agreement(share <= SAME_SHARE, f"medians within {share:.2%}")


def _texts(found: GeneratedText, expected: GeneratedText) -> Agreement:
    pairs = zip(found.text, expected.text, strict=False)
    common = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if found.text == expected.text:
        return Agreement(True, "the same text")
    at = min(len(found.text), len(expected.text)) if common is None else common
    return Agreement(False, f"another text from character {at + 1} on")


def _pictures(found: GeneratedImage, expected: GeneratedImage) -> Agreement:
    if found.pixels.shape != expected.pixels.shape:
        return Agreement(False, "a picture of another size")
    apart = float(np.abs(found.pixels.astype(np.int16) - expected.pixels).mean()) / 255
    return Agreement(apart <= SAME_SHARE, f"{apart:.2%} apart on average")


def _arrays(found: Arrays, expected: Arrays) -> Agreement:
    worst = 0.0
    for name, array in expected.values.items():
        other = found.values.get(name)
        if other is None or other.shape != array.shape:
            return Agreement(False, f"output {name!r} is missing or of another shape")
        apart = np.abs(other.astype(np.float64) - array)
        worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
    return Agreement(worst <= SAME_SHARE, f"within {worst:.2g}")


_COMPARE: dict[type, Callable[[Any, Any], Agreement]] = {
    Classification: _classes,
    Detections: _boxes,
    Segmentation: _masks,
    Embedding: _vectors,
    Forecast: _forecasts,
    GeneratedText: _texts,
    GeneratedImage: _pictures,
    Arrays: _arrays,
}
