"""Requests with known answers, from an artifact's golden samples."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demos.load_clients import Question
from runtimes import UsageError
from sdk import Predictor

TOLERANCE = 2e-3
"""Between a number of an answer and the same in this process: batches of other sizes are summed in another
order, and some results are rounded for JSON."""


def questions_for(artifact: Path, model: str, count: int) -> list[Question]:
    """`count` different requests for `edgewright serve`, and the answers that are right for them.

    Raises:
        UsageError: The artifact has no golden samples.
    """
    items, results = answered_items(artifact, count)
    path = f"/v1/models/{model}:predict"
    return [
        Question(path, content_type(item), item, _is(result))
        for item, result in zip(items, results, strict=True)
    ]


def answered_items(artifact: Path, count: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Encoded items, and for each what `Predictor` says of it as plain values.

    Raises:
        UsageError: The artifact has no golden samples.
    """
    with Predictor(artifact) as predictor:
        golden = [sample.item() for sample in predictor.manifest.samples]
        if not golden:
            raise UsageError("Artifact", got=f"{artifact.name!r} without golden samples",
                             expected="some to ask about", fix="Export it with --data.")  # fmt: skip
        items = [_altered(golden[number % len(golden)], number) for number in range(count)]
        results = [predictor.predict(item).to_dict() for item in items]
    return items, results


def content_type(item: bytes) -> str:
    """Of an encoded item, by its first bytes."""
    return "image/png" if item.startswith(b"\x89PNG") else "application/octet-stream"


def same(found: Any, expected: Any) -> bool:
    """Whether two JSON values are equal but for `TOLERANCE` in their numbers."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, (list, tuple)):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return isinstance(found, (int, float)) and math.isclose(
            found, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE
        )
    return bool(found == expected)


def _is(result: dict[str, Any]) -> Callable[[Any], bool]:
    return lambda answer: len(answer["results"]) == 1 and same(answer["results"][0], result)


def _altered(item: bytes, number: int) -> bytes:
    """A picture with some of its pixels changed, to be told from all others; other items as they are."""
    if not item.startswith(b"\x89PNG"):
        return item
    pixels = np.array(Image.open(io.BytesIO(item)))
    noise = np.random.default_rng(number).integers(0, 64, pixels.shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels ^ noise).save(buffer, "PNG")
    return buffer.getvalue()
