"""How much faster one artifact is than another: a paired ratio from one run.

Both engines stay open and take turns in short blocks of shuffled order on the same real inputs, so that a
busy moment of the machine falls on both. Each block gives one figure, the first quartile of its runs: on a
busy machine low quantiles tell the engine apart from its neighbours, and means do not. What is timed is what
one prediction does with the graphs, with its validation of inputs; decoding and resizing are the same for
both and would only hide the difference.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array
from sdk.predictor import Predictor

TIMED_ITEMS = 32
"""Real inputs that engines are timed on, of those that there are."""
ROUNDS, FEWEST_ROUNDS = 24, 8
TAKE_S = 20.0
"""A take has fewer than `ROUNDS` where it would last longer: whatever takes a second a run needs no more."""
BLOCK_S = 0.03
FEWEST_RUNS, MOST_RUNS = 4, 100
WARM_UP_RUNS, WARM_UP_S = 3, 0.02
"""Each block begins with so many runs, and so long: caches fill again, and the threads of the engine that ran
before come to rest."""
MOST_TAKES = 3
SURE = 1.1
"""An interval whose ends differ by no more than a tenth tells faster from slower."""
RESAMPLES = 2000


@dataclass(frozen=True)
class LatencyRatio:
    """Latency of a candidate against its parent's, batch of one (or the smallest that both take).

    Attributes:
        ratio: Candidate's latency as a share of the parent's; below 1 is faster.
        low: Lower end of the ratio's 95 % interval.
        high: Upper end.
        candidate_ms: Median over the blocks.
        parent_ms: Median over the blocks.
        runs: How many runs of each were timed.
    """

    ratio: float
    low: float
    high: float
    candidate_ms: float
    parent_ms: float
    runs: int


def paired_latency(
    candidate: Path, parent: Path, items: Sequence[Any], *, seed: int = 0, rounds: int | None = None
) -> LatencyRatio:
    """Time two artifacts against each other.

    Args:
        candidate: The artifact in question.
        parent: What it is compared with.
        items: Real inputs, used in turn.
        seed: Of the order of turns and of the interval's resampling.
        rounds: Blocks per artifact; None for `ROUNDS`, or fewer where a run takes long.

    Raises:
        DeviceError: The device of one of them is not here.
    """
    order = random.Random(seed)
    blocks: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        turns = [_Turn(stack.enter_context(Predictor(path)), items) for path in (candidate, parent)]
        seconds = [turn.seconds() for turn in turns]
        runs = min(MOST_RUNS, max(FEWEST_RUNS, int(BLOCK_S / max(seconds))))
        if rounds is None:
            affordable = int(TAKE_S / (sum(seconds) * (runs + WARM_UP_RUNS)))
            rounds = min(ROUNDS, max(FEWEST_ROUNDS, affordable))
        for _ in range(rounds):
            for which in order.sample((0, 1), 2):
                blocks[which].append(turns[which].block(runs))
    low, high = _interval(blocks, seed)
    ours, theirs = (float(np.median(times)) for times in blocks)
    return LatencyRatio(ours / theirs, low, high, 1e3 * ours, 1e3 * theirs, rounds * runs)


def surest_latency(candidate: Path, parent: Path, items: Sequence[Any], *, seed: int = 0) -> LatencyRatio:
    """`paired_latency`, again while other work makes it unsure; of several the narrowest interval is kept.

    Args and errors are those of `paired_latency`.
    """
    takes: list[LatencyRatio] = []
    until = time.perf_counter() + TAKE_S
    while not takes or (
        len(takes) < MOST_TAKES and takes[-1].high > SURE * takes[-1].low and time.perf_counter() < until
    ):
        takes.append(paired_latency(candidate, parent, items, seed=seed))
    return min(takes, key=lambda take: take.high / take.low)


class _Turn:
    """One engine with its inputs made ready."""

    def __init__(self, predictor: Predictor, items: Sequence[Any]) -> None:
        spec = predictor.spec
        self._run = predictor.compute
        self._inputs: list[dict[str, Array]] = []
        for item in items:
            sample = spec.input.load(item)
            self._inputs.append(spec.input.batch([sample] * spec.batch.min, spec.baked))
        self._next = 0

    def seconds(self) -> float:
        """One run's duration, warm: the fastest of a few."""
        return min(self._one() for _ in range(2 + WARM_UP_RUNS))

    def block(self, runs: int) -> float:
        """First quartile of `runs` runs, in seconds."""
        self._warm_up()
        return float(np.percentile([self._one() for _ in range(runs)], 25))

    def _warm_up(self) -> None:
        begin, runs = time.perf_counter(), 0
        while runs < WARM_UP_RUNS or time.perf_counter() - begin < WARM_UP_S:
            self._one()
            runs += 1

    def _one(self) -> float:
        arrays = self._inputs[self._next % len(self._inputs)]
        self._next += 1
        begin = time.perf_counter()
        self._run(arrays)
        return time.perf_counter() - begin


def _interval(blocks: tuple[list[float], list[float]], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio of medians; rounds are resampled as pairs."""
    ours, theirs = (np.asarray(times) for times in blocks)
    rows = np.random.default_rng(seed).integers(0, len(ours), (RESAMPLES, len(ours)))
    ratios = np.median(ours[rows], axis=1) / np.median(theirs[rows], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)
