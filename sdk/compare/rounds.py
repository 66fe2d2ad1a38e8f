"""Rounds: fresh processes of every contestant, alive at the same time, predicting in turns.

Launches of one artifact minutes apart differ by more than any slowdown worth catching, because the machine
does. Within a round the contestants take turns in blocks of a few dozen milliseconds, so that a slow moment
falls on all of them, and only their ratio is used. Each round starts new processes: where code and data
happen to lie in memory is part of what is sampled.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.launch import Launch

BLOCK_S = 0.025
WARM_UP_S = 0.006
"""Each turn begins with so much untimed work: caches fill again after the other's turn."""
FEWEST_RUNS = 2
"""Predictions in a block, for models slower than `BLOCK_S` allows."""
MOST_BLOCKS, FEWEST_BLOCKS = 24, 6
"""Turns of each contestant in a round: many short ones, so that some fall into quiet moments."""
ROUND_S = 4.0
"""Slow models get fewer turns, so that a round of two takes about so long."""


@dataclass(frozen=True)
class Contestant:
    """What is launched.

    Attributes:
        path: The artifact.
        items: Files to predict on; none: the artifact's golden samples.
        options: Runtime options of `Predictor`.
        code: Folder to import `sdk` from, when it is not the one that is installed.
    """

    path: Path
    items: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    code: Path | None = None

    def launch(self) -> Launch:
        """A fresh process of it."""
        return Launch(self.path, self.items, self.options, code=self.code)


@dataclass(frozen=True)
class LaunchRecord:
    """What one process showed.

    Attributes:
        cold_start_s: Process start to first result.
        peak_rss_bytes: Its largest resident memory.
        blocks_s: Durations of single predictions in seconds, by block.
        yardstick_s: Duration of a fixed piece of work there, the machine's speed at that moment; None where
            contestants run in turns and need none.
    """

    cold_start_s: float
    peak_rss_bytes: int
    blocks_s: tuple[tuple[float, ...], ...]
    yardstick_s: float | None


def run_round(
    contestants: Sequence[Contestant], order: random.Random, blocks: int | None = None
) -> list[LaunchRecord]:
    """Launch every contestant afresh and let them take turns.

    Whoever's turn it is not is paused: an engine's threads may spin for a while after a run (70 ms in ONNX
    Runtime 1.31 with spinning ``always``), and would keep a core from the other.

    Args:
        contestants: Two for a comparison; one for recording; more for a study.
        order: Shuffles who is launched first, and each turn's order.
        blocks: Turns of each; None: as many as their speed allows.

    Returns:
        A record per contestant, in their order.

    Raises:
        EdgewrightError: What a contestant raised.
    """
    turns = list(range(len(contestants)))
    taken: list[list[tuple[float, ...]]] = [[] for _ in contestants]
    with ExitStack() as stack:
        launches: dict[int, Launch] = {}
        for which in order.sample(turns, len(turns)):
            # One after the other: processes that start together would slow each other's cold start.
            launches[which] = stack.enter_context(contestants[which].launch())
            launches[which].startup()
            launches[which].pause()
        begin = time.perf_counter()
        while not taken[0] or len(taken[0]) < (blocks or _blocks(begin, len(taken[0]))):
            for which in order.sample(turns, len(turns)):
                taken[which].append(_turn(launches[which]))
        alone = len(contestants) == 1
        return [_record(launches[which], taken[which], alone) for which in turns]


def _turn(launch: Launch) -> tuple[float, ...]:
    launch.resume()
    durations = launch.block(BLOCK_S, warm_s=WARM_UP_S, fewest=FEWEST_RUNS)
    launch.pause()
    return tuple(durations.tolist())


def _blocks(begin: float, done: int) -> int:
    each_s = (time.perf_counter() - begin) / done
    return max(FEWEST_BLOCKS, min(MOST_BLOCKS, int(ROUND_S / each_s)))


def _record(launch: Launch, blocks: list[tuple[float, ...]], alone: bool) -> LaunchRecord:
    launch.resume()
    return LaunchRecord(
        launch.startup().cold_start_s,
        launch.peak_rss_bytes(),
        tuple(blocks),
        launch.yardstick() if alone else None,
    )
