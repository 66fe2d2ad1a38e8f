"""How long one prediction takes: a small, honest measurement for a demo.

Whole predictions are timed (decode, resize, run, read) on real images, in this process. The artifacts take
turns in short blocks whose order is shuffled, so that a busy moment of the machine falls on all of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.latency import WARM_UP_S
from sdk import Predictor

ROUNDS = 12
PER_BLOCK = 10


@dataclass(frozen=True)
class Timing:
    """Latency of single predictions, in milliseconds.

    Attributes:
        median_ms: Half of the predictions were faster.
        low_ms: First quartile.
        high_ms: Third quartile.
        count: How many were timed.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Summarise durations."""
        low, median, high = (1e3 * float(q) for q in np.percentile(seconds, (25, 50, 75)))
        return cls(median, low, high, len(seconds))


def time_artifacts(paths: Sequence[Path], items: Sequence[Any], seed: int) -> dict[Path, Timing]:
    """Time single predictions of every artifact.

    Args:
        paths: Artifacts that this machine can run.
        items: Real inputs, used in turn.
        seed: Of the order in which the artifacts take turns.
    """
    order = random.Random(seed)
    predictors: Mapping[Path, Predictor] = {path: Predictor(path) for path in paths}
    seconds: dict[Path, list[float]] = {path: [] for path in paths}
    try:
        for _ in range(ROUNDS):
            for path in order.sample(list(paths), len(paths)):
                seconds[path] += _block(predictors[path], items, len(seconds[path]))
    finally:
        for predictor in predictors.values():
            predictor.close()
    return {path: Timing.of(values) for path, values in seconds.items()}


def _block(predictor: Predictor, items: Sequence[Any], start: int) -> list[float]:
    warm = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < warm:
        predictor.predict(items[start % len(items)])
    seconds = []
    for turn in range(PER_BLOCK):
        item = items[(start + turn) % len(items)]
        begin = time.perf_counter()
        predictor.predict(item)
        seconds.append(time.perf_counter() - begin)
    return seconds
