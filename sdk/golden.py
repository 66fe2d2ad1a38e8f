"""Golden samples: real inputs with the answers of the checkpoint, replayed by `verify` on any machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runtimes import Array
from sdk.artifact.evidence import GoldenSample
from sdk.spec import Spec


def make_golden_samples(
    spec: Spec, items: Sequence[Any], outputs_of: Callable[[list[Any]], dict[str, Array]]
) -> tuple[GoldenSample, ...]:
    """Encode items and record what the checkpoint says of them.

    The outputs are computed from the encoded bytes, not from the original items, because encoding may
    shrink a large picture.

    Args:
        spec: How items are loaded and encoded.
        items: Real items, as `Predictor.predict` takes them.
        outputs_of: Activated outputs (N, …) of the checkpoint for a list of items.

    Raises:
        InputError: An item cannot be loaded.
    """
    encoded: list[Any] = [spec.input.encode(spec.input.load(item).source) for item in items]
    outputs = outputs_of(encoded)
    return tuple(
        GoldenSample.of(item, {name: array[row] for name, array in outputs.items()})
        for row, item in enumerate(encoded)
    )
