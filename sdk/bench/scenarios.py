"""The three ways of asking for predictions: one after the other, in batches, and as they arrive.

They are MLPerf Inference's scenarios of the same names (Reddi et al., MLPerf Inference Benchmark, 2020).
Each times untouched calls of `Predictor.predict`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.bench.options import OFFLINE, SERVER, BenchOptions
from sdk.predictor import Predictor

DRAIN_SHARE = 1.0
"""After a block of arrivals, waiting ones may take so many times its length; those left then are given up."""


@dataclass(frozen=True)
class Block:
    """Predictions timed without a pause.

    Attributes:
        durations_s: float64 (N,) in order: of each call, or from each arrival to its answer.
        items: How many items were answered.
        span_s: From the block's begin to its last answer.
        given_up: Arrivals that were not answered in time.
        busy_s: Time that workers spent answering, of all of them together (``server``).
        tokens: Written in the answers, where they are texts.
    """

    durations_s: NDArray[np.float64]
    items: int
    span_s: float
    given_up: int = 0
    busy_s: float = 0.0
    tokens: int = 0


class Scenario(ABC):
    """One way of asking one predictor.

    Args:
        predictor: Whom to ask.
        items: Real inputs, used in turn.
        options: How.
    """

    block_s = 0.5
    """Length of a block that is long enough to be steady and short enough to take turns."""

    def __init__(self, predictor: Predictor, items: Sequence[Any], options: BenchOptions) -> None:
        self.predictor = predictor
        self.items = items
        self.options = options
        self.turn = 0
        self.writes = predictor.spec.output.writes

    @property
    def batch(self) -> int:
        """Items per call."""
        return 1

    def call(self) -> float:
        """One call on the next item or items; its seconds."""
        begin = time.perf_counter()
        self.predictor.predict(self.next())
        return time.perf_counter() - begin

    def next(self) -> Any:
        """What the next call predicts on."""
        item = self.items[self.turn % len(self.items)]
        self.turn += 1
        return item

    @abstractmethod
    def block(self, seconds: float) -> Block:
        """Time predictions for so long."""


class SingleStream(Scenario):
    """The next prediction begins when the one before it has ended."""

    def block(self, seconds: float) -> Block:
        """Time predictions for so long."""
        predict, clock, items, turn = self.predictor.predict, time.perf_counter, self.items, self.turn
        count, durations, writes, tokens = len(items), [], self.writes, 0
        start = end = clock()
        while end - start < seconds:
            item = items[turn % count]
            begin = clock()
            result = predict(item)
            end = clock()
            durations.append(end - begin)
            turn += 1
            if writes:
                tokens += result.tokens
        self.turn = turn
        return Block(np.asarray(durations), len(durations), end - start, tokens=tokens)


class Offline(Scenario):
    """Everything is there already: batches, one after the other."""

    @property
    def batch(self) -> int:
        """Items per call."""
        return self.options.batch or self.predictor.batch_size

    def next(self) -> list[Any]:
        """The next batch, from the items in turn."""
        chosen = [self.items[(self.turn + i) % len(self.items)] for i in range(self.batch)]
        self.turn += self.batch
        return chosen

    def block(self, seconds: float) -> Block:
        """Time batches for so long."""
        durations, tokens = [], 0
        start = end = time.perf_counter()
        while end - start < seconds:
            items, begin = self.next(), time.perf_counter()
            results = self.predictor.predict(items)
            end = time.perf_counter()
            durations.append(end - begin)
            if self.writes:
                tokens += sum(result.tokens for result in results)
        return Block(np.asarray(durations), len(durations) * self.batch, end - start, tokens=tokens)


class Server(Scenario):
    """Arrivals at random, as a Poisson process; whoever finds all workers busy waits in line.

    Latency counts from the moment an arrival was due, whether or not a worker was free to notice it: a slow
    prediction is charged for everyone who waits behind it.
    """

    block_s = 2.0

    def __init__(self, predictor: Predictor, items: Sequence[Any], options: BenchOptions) -> None:
        super().__init__(predictor, items, options)
        assert options.rate is not None
        self.rate = options.rate
        self._random = np.random.default_rng(options.seed)

    def block(self, seconds: float) -> Block:
        """Answer the arrivals of so many seconds."""
        due = self._arrivals(seconds)
        latencies = np.full(len(due), np.nan)
        line = _Line(due, latencies, time.perf_counter(), (1 + DRAIN_SHARE) * seconds)
        workers = [
            threading.Thread(
                target=line.work, args=(self.predictor.predict, self.items, self.turn, self.writes)
            )
            for _ in range(self.options.workers)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if line.failure:
            raise line.failure
        self.turn += len(due)
        answered = ~np.isnan(latencies)
        span = float(np.max(due[answered] + latencies[answered], initial=seconds))
        late = int((~answered).sum())
        return Block(latencies[answered], int(answered.sum()), span, late, line.busy_s, line.tokens)

    def _arrivals(self, seconds: float) -> NDArray[np.float64]:
        """Seconds after the block's begin, ascending, at least one: gaps are exponential."""
        gaps = self._random.exponential(1 / self.rate, int(2 * seconds * self.rate) + 32)
        due = np.cumsum(gaps)
        return due[: max(1, int(np.searchsorted(due, seconds)))]


class _Line:
    """First come, first served, by any number of workers."""

    def __init__(
        self, due: NDArray[np.float64], latencies: NDArray[np.float64], start: float, give_up_s: float
    ) -> None:
        self._due, self._latencies, self._start, self._give_up_s = due, latencies, start, give_up_s
        self._next, self._lock = 0, threading.Lock()
        self.busy_s = 0.0
        self.tokens = 0
        self.failure: BaseException | None = None

    def work(self, predict: Any, items: Sequence[Any], first: int, writes: bool) -> None:
        """Answer arrivals until there are none."""
        try:
            while (at := self._take()) is not None:
                due = self._start + float(self._due[at])
                while (wait := due - time.perf_counter()) > 0:
                    time.sleep(wait)
                begin = time.perf_counter()
                result = predict(items[(first + at) % len(items)])
                end = time.perf_counter()
                self._latencies[at] = end - due
                with self._lock:
                    self.busy_s += end - begin
                    self.tokens += result.tokens if writes else 0
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that waits
            self.failure = error

    def _take(self) -> int | None:
        with self._lock:
            late = time.perf_counter() - self._start > self._give_up_s
            if self.failure or late or self._next >= len(self._due):
                return None
            self._next += 1
            return self._next - 1


def open_scenario(predictor: Predictor, items: Sequence[Any], options: BenchOptions) -> Scenario:
    """The scenario that `options` name."""
    kinds: dict[str, type[Scenario]] = {OFFLINE: Offline, SERVER: Server}
    return kinds.get(options.scenario, SingleStream)(predictor, items, options)
