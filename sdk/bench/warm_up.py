"""Calls before the first that counts: until they have become as fast as they get."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S, WINDOW_CALLS = 0.1, 5
WINDOWS_ALIKE = 3
ALIKE = 1.05
LONGEST_S = 5.0
RULE = (
    f"windows of at least {WINDOW_S:g} s and {WINDOW_CALLS} calls, until the medians of the last "
    f"{WINDOWS_ALIKE} lie within {ALIKE - 1:.0%} of each other, for at most {LONGEST_S:g} s"
)


@dataclass(frozen=True)
class WarmUp:
    """What it took to warm up.

    Attributes:
        seconds: How long.
        calls: How many.
        stable: Whether the last windows were alike; False where time ran out first.
        rule: What "stable" means.
    """

    seconds: float
    calls: int
    stable: bool
    rule: str = RULE


def warm_up(call: Callable[[], float], longest_s: float = LONGEST_S) -> WarmUp:
    """Call until stable.

    Args:
        call: One call; returns its seconds.
        longest_s: When to give up.
    """
    start, calls = time.perf_counter(), 0
    medians: list[float] = []
    stable = False
    while not stable and time.perf_counter() - start < longest_s:
        window: list[float] = []
        begin = time.perf_counter()
        while len(window) < WINDOW_CALLS or time.perf_counter() - begin < WINDOW_S:
            window.append(call())
        calls += len(window)
        medians.append(statistics.median(window))
        last = medians[-WINDOWS_ALIKE:]
        stable = len(last) == WINDOWS_ALIKE and max(last) <= ALIKE * min(last)
    return WarmUp(time.perf_counter() - start, calls, stable)
