"""Numbers that sum up a picture, a text or an array: what drift is looked for in. Nothing can be read back
out of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from runtimes import Array

_MOST_PIXELS = 1 << 14
"""Of a larger picture every second, third … pixel is looked at."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""
_WORD = re.compile(r"\S+")
_MOST_CHARACTERS = 20_000
"""Of a longer text, so many characters at its beginning are counted."""


def picture_features(pixels: Array) -> dict[str, float]:
    """How a picture looks as a whole.

    Args:
        pixels: uint8 (H, W, 3) RGB or (H, W, 1) grey.

    Returns:
        ``brightness`` (mean of luma), ``contrast`` (its standard deviation), ``sharpness`` (standard
        deviation of its Laplacian: Pech-Pacheco et al. 2000), ``clipped`` (share of pixels that are black or
        white) and, of colour, ``saturation`` (mean of largest minus smallest channel). All 0 to about 1.
    """
    step = math.ceil(math.sqrt(max(1.0, pixels.shape[0] * pixels.shape[1] / _MOST_PIXELS)))
    small = pixels[::step, ::step].astype(np.float32) / np.float32(255)
    luma = small @ _LUMA if small.shape[2] == 3 else small[:, :, 0]
    found = {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": _sharpness(luma),
        "clipped": float(((luma <= 2 / 255) | (luma >= 253 / 255)).mean()),
    }
    if small.shape[2] == 3:
        found["saturation"] = float((small.max(axis=2) - small.min(axis=2)).mean())
    return found


def _sharpness(luma: Array) -> float:
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).std())


def text_features(text: str) -> dict[str, float]:
    """How a text is made: its length, and shares of its characters and words.

    Returns:
        ``characters``, ``words``, ``word_length``, and the shares ``capitals``, ``digits``, ``punctuation``
        and ``non_ascii`` of all characters.
    """
    part = text[:_MOST_CHARACTERS]
    words = _WORD.findall(part)
    count = max(1, len(part))
    return {
        "characters": float(len(text)),
        "words": float(len(words)),
        "word_length": sum(map(len, words)) / max(1, len(words)),
        "capitals": sum(map(str.isupper, part)) / count,
        "digits": sum(map(str.isdigit, part)) / count,
        "punctuation": sum(not (c.isalnum() or c.isspace()) for c in part) / count,
        "non_ascii": 0.0 if part.isascii() else sum(c > "\x7f" for c in part) / count,
    }


def array_features(arrays: Mapping[str, Array]) -> dict[str, float]:
    """Mean, standard deviation, smallest and largest number of each array that holds any."""
    found: dict[str, float] = {}
    for name, array in arrays.items():
        if array.size == 0 or array.dtype.kind not in "fiub":
            continue
        values = array.astype(np.float64, copy=False)
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        found[f"{name}.mean"] = float(values.mean())
        found[f"{name}.low"], found[f"{name}.high"] = float(values.min()), float(values.max())
        if values.size > 1:
            found[f"{name}.spread"] = float(values.std())
    return found


def score_features(scores: Array) -> dict[str, float]:
    """How sure a classifier is.

    Args:
        scores: float32 (classes,), the higher the likelier.

    Returns:
        ``score`` (the largest), ``margin`` (before the second) and, where all are shares, ``entropy`` of
        their distribution from 0, sure, to 1, no idea.
    """
    ordered = np.sort(scores.astype(np.float64))
    found = {"score": float(ordered[-1]), "margin": float(ordered[-1] - ordered[-2])}
    total = float(ordered.sum())
    if ordered[0] >= 0 and total > 0:
        shares = ordered[ordered > 0] / total
        found["entropy"] = max(0.0, float(-(shares * np.log(shares)).sum() / math.log(len(ordered))))
    return found


def written_features(text: str, tokens: int, score: float, finish_reason: str) -> dict[str, float | str]:
    """How a model wrote: how much, how surely, and why it ended; not what."""
    return {
        "tokens": float(tokens),
        "characters": float(len(text)),
        "score": float(score),
        "finish_reason": finish_reason,
    }
