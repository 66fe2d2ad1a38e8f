"""Proof: an artifact is measured through `Predictor`, on real data, before it gets its name."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.reference import ReferenceRows
from runtimes import Array
from sdk.artifact import Artifact, Metric, Parity
from sdk.kinds import OutputKind
from sdk.monitor.reference import Reference
from sdk.predictor import Predictor
from train.tasks.base import Split, Task

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``."""

IN_MEMORY_BYTES = 256 * 1024**2
"""Outputs up to this size are kept in memory while two artifacts are compared."""
_ROWS = 32


@dataclass(frozen=True)
class Measured:
    """What one artifact gave on one split.

    Attributes:
        kind: How its outputs are read and compared.
        results: One per item.
        outputs: Activated outputs (N, …) by name; large ones lie in a file without a name.
        metrics: Task figures; empty where the split holds no truth.
        reference: What its inputs and answers looked like, to tell drift from later.
    """

    kind: OutputKind
    results: list[Any]
    outputs: dict[str, Array]
    metrics: tuple[Metric, ...]
    reference: Reference | None


def measure(path: Path, task: Task, split: Split, progress: Progress, what: str) -> Measured:
    """Run an artifact over a whole split through `Predictor`.

    Raises:
        DeviceError: The device it was made for is not here.
        EngineError: The engine refuses it, or it gives NaN.
    """
    results: list[Any] = []
    outputs: dict[str, Array] = {}
    with Predictor(path) as predictor:
        watched = ReferenceRows(predictor.spec, len(split.items))
        for batch_results, batch_outputs, samples in predictor.measuring_batches(split.items):
            watched.see(batch_outputs, samples)
            for name, rows in batch_outputs.items():
                if name not in outputs:
                    outputs[name] = _room((len(split.items), *rows.shape[1:]), rows.dtype)
                outputs[name][len(results) : len(results) + len(rows)] = rows
            results += batch_results
            progress(what, len(results), len(split.items))
        metrics = task.measure(results, split)
        return Measured(predictor.spec.output, results, outputs, metrics, watched.reference(split.name))


def _room(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array in memory, or in a file that is gone when nobody uses the array any more."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="edgewright-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def compare(candidate: Measured, reference: Measured, task: Task) -> Parity:
    """Parity of an artifact with its checkpoint on the same items."""
    worst, count = 0.0, len(reference.results)
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        found, expected = ({k: a[rows] for k, a in m.outputs.items()} for m in (candidate, reference))
        expected = reference.kind.seen_as(candidate.kind, expected)
        worst = max(worst, candidate.kind.difference(found, expected))
    return Parity(worst, task.agreement(candidate.results, reference.results), count)


def replay_singly(candidate: Artifact) -> float:
    """Worst difference on the golden samples in the smallest batch: the path of a single prediction."""
    with Predictor(candidate.path, batch_size=candidate.spec.batch.min) as predictor:
        return predictor.verify().worst_difference
