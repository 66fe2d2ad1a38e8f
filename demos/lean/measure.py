"""Paired measurements: what is compared takes turns in one run, so that a busy moment falls on all alike."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdk.predictor import Predictor

WARM_S = 0.1
"""Each block begins with so long untimed: threads of the one before may spin for 70 ms."""
BLOCK_S, FEWEST = 0.15, 5
WARM_PAIRS = 5
RESAMPLES = 2000
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ratio:
    """Ours against theirs.

    Attributes:
        ratio: Of the medians; below 1 is faster.
        low: Lower end of its 95 % interval, by resampling rounds.
        high: Upper end.
        ours: Median, in the unit that was measured.
        theirs: The same.
    """

    ratio: float
    low: float
    high: float
    ours: float
    theirs: float


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare two rows of measurements taken in the same rounds."""
    mine, other = np.asarray(ours), np.asarray(theirs)
    rows = np.random.default_rng(0).integers(0, len(mine), (RESAMPLES, len(mine)))
    low, high = np.percentile(np.median(mine[rows], axis=1) / np.median(other[rows], axis=1), (2.5, 97.5))
    ours_middle, theirs_middle = float(np.median(mine)), float(np.median(other))
    return Ratio(ours_middle / theirs_middle, float(low), float(high), ours_middle, theirs_middle)


def in_pairs(
    ours: Callable[[], object], theirs: Callable[[], object], pairs: int
) -> tuple[list[float], list[float]]:
    """Time two calls one after the other, in an order that changes by chance; milliseconds of each.

    For calls that leave nothing behind, no spinning threads above all: a busy moment falls on both alike.
    """
    order, clock, calls = random.Random(0), time.perf_counter, (ours, theirs)
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(WARM_PAIRS + pairs):
        for which in order.sample((0, 1), 2):
            begin = clock()
            calls[which]()
            lap = 1e3 * (clock() - begin)
            if turn >= WARM_PAIRS:
                found[which].append(lap)
    return found


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time each of `calls` in short blocks of shuffled order; milliseconds, one median a block."""
    order, found = random.Random(0), {name: [] for name in calls}
    for _ in range(rounds):
        for name in order.sample(list(calls), len(calls)):
            found[name].append(1e3 * _block(calls[name]))
    return found


def launch_in_turns(
    commands: Mapping[str, Sequence[str]], launches: int, scratch: Path
) -> dict[str, list[Start]]:
    """Start each command as a fresh process, in turns of shuffled order, after one that is not counted.

    Args:
        commands: Words after the interpreter's name. They print as `demos.lean.minimal` does.
        launches: Counted ones of each.
        scratch: Folder for compiled bytecode: an installed package has it, a working copy need not.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(scratch), "PYTHONPATH": str(_ROOT)}
    order, found = random.Random(0), {name: [] for name in commands}
    for turn in range(1 + launches):
        for name in order.sample(list(commands), len(commands)):
            start = _start(commands[name], environment)
            if turn:
                found[name].append(start)
    return found


@dataclass(frozen=True)
class Start:
    """One fresh process.

    Attributes:
        seconds: From the moment it was asked for to its first result.
        answer: The class that it found.
        peak_mb: Its largest resident memory, in 10⁶ bytes.
    """

    seconds: float
    answer: int
    peak_mb: float


def phases_ms(predictor: Predictor, item: object, seconds: float = 1.0) -> dict[str, float]:
    """Median milliseconds of a prediction's three parts."""
    laps: list[tuple[float, float, float, float]] = []
    until = time.perf_counter() + seconds
    while len(laps) < FEWEST or time.perf_counter() < until:
        begin = time.perf_counter()
        arrays, samples = predictor.prepare([item])
        prepared = time.perf_counter()
        outputs = predictor.compute(arrays)
        ran = time.perf_counter()
        _ = predictor.finish(outputs, samples)[0].index
        laps.append((begin, prepared, ran, time.perf_counter()))
    parts = 1e3 * np.median(np.diff(np.asarray(laps), axis=1), axis=0)
    return dict(zip(("prepare", "run", "finish"), parts.tolist(), strict=True))


def _block(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    while time.perf_counter() - begin < WARM_S:
        call()
    laps: list[float] = []
    until = time.perf_counter() + BLOCK_S
    while len(laps) < FEWEST or time.perf_counter() < until:
        begin = time.perf_counter()
        call()
        laps.append(time.perf_counter() - begin)
    return float(np.median(laps))


def _start(words: Sequence[str], environment: Mapping[str, str]) -> Start:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=True, cwd=_ROOT
    )
    # perf_counter is the system's monotonic clock: its origin is the same in every process.
    at, answer, peak_kb = done.stdout.split()
    return Start(float(at) - begin, int(answer), int(peak_kb) * 1024 / 1e6)
