"""Proof: an artifact is measured through `Predictor`, on real data, before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array
from sdk.artifact import Artifact, Metric, Parity
from sdk.predictor import Predictor
from train.tasks.base import Split, Task

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``."""


@dataclass(frozen=True)
class Measured:
    """What one artifact gave on one split: results, activated outputs, and task figures."""

    results: list[Any]
    outputs: dict[str, Array]
    metrics: tuple[Metric, ...]


def measure(path: Path, task: Task, split: Split, progress: Progress, what: str) -> Measured:
    """Run an artifact over a whole split through `Predictor`.

    Raises:
        DeviceError: The device it was made for is not here.
        EngineError: The engine refuses it, or it gives NaN.
    """
    with Predictor(path) as predictor:
        results, outputs = predictor.predict_with_outputs(
            split.items, lambda done: progress(what, done, len(split.items))
        )
    return Measured(results, outputs, task.measure(results, split))


def compare(candidate: Measured, reference: Measured, task: Task) -> Parity:
    """Parity of an artifact with its checkpoint on the same items."""
    worst = max(
        float(np.abs(candidate.outputs[name].astype(np.float64) - expected).max())
        for name, expected in reference.outputs.items()
    )
    agreement = task.agreement(candidate.results, reference.results)
    return Parity(worst, agreement, len(reference.results))


def replay_singly(candidate: Artifact) -> float:
    """Worst difference on the golden samples in the smallest batch: the path of a single prediction."""
    with Predictor(candidate.path, batch_size=candidate.spec.batch.min) as predictor:
        return predictor.verify().worst_difference
