"""Proof: an artifact is measured through `Predictor`, on real data, before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array, ProofError
from sdk.artifact import Artifact, Metric, Parity
from sdk.predictor import Predictor
from train.tasks.base import Split, Task

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``."""


@dataclass(frozen=True)
class Budget:
    """How far an artifact may be from its checkpoint.

    Attributes:
        tolerance: Largest absolute difference of any activated output.
        max_drop: Largest loss of the headline metric, in points (hundredths).
    """

    tolerance: float
    max_drop: float


# fp32: other kernels add in another order; 1e-3 of a probability is far above what that gives (1e-5 was
# seen) and far below what a wrong resize or normalisation gives. fp16: 10 bits of mantissa through a deep
# network move a probability near 0.5 by about 0.01.
DEFAULT_BUDGETS = {"fp32": Budget(1e-3, 0.1), "fp16": Budget(3e-2, 0.5)}


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


def require_within(
    budget: Budget, name: str, parity: Parity, metrics: tuple[Metric, ...], reference: tuple[Metric, ...]
) -> None:
    """Refuse an artifact that is past its budget.

    Raises:
        ProofError: The numeric difference or the loss of the headline metric is too large.
    """
    if not parity.worst_difference <= budget.tolerance:
        raise ProofError(
            name,
            got=f"a worst difference of {parity.worst_difference:.2e} from the checkpoint",
            expected=f"at most {budget.tolerance:.0e}",
            fix="Nothing was written. Export in fp32, or find the layer that overflows.",
        )
    drop = 100 * (reference[0].value - metrics[0].value)
    if drop > budget.max_drop:
        raise ProofError(
            name,
            got=f"{metrics[0].name} {100 * metrics[0].value:.2f} %, {drop:.2f} points below "
            f"the checkpoint's {100 * reference[0].value:.2f} %",
            expected=f"a drop of at most {budget.max_drop:g} points",
            fix="Nothing was written. Raise --max-drop if you accept this, or use fp32.",
        )


def replay_singly(candidate: Artifact) -> float:
    """Worst difference on the golden samples in the smallest batch: the path of a single prediction."""
    with Predictor(candidate.path, batch_size=candidate.spec.batch.min) as predictor:
        return predictor.verify().worst_difference
