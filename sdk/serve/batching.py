"""Micro-batching: single items wait in a bounded queue and share calls of the graph.

A worker that is free takes what waits, up to a bound; what arrives meanwhile forms its next batch. So batches
are as large as the load asks for and nobody waits longer than for the calls before theirs. One bad item
answers for itself alone: it is loaded by itself, and a batch that the engine refuses is run item by item.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from runtimes import Array, EdgewrightError, EngineError, InputError
from sdk.kinds import Sample
from sdk.predictor import Predictor
from sdk.serve.options import Batching

if TYPE_CHECKING:
    from sdk.serve.routing import Origin

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.2
_FIRST_GUESS_S = 0.01


class QueueFullError(Exception):
    """There is no room for a request's items.

    Args:
        retry_after_s: When there should be some again.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"come back in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class ClosedError(Exception):
    """This version has been replaced or is shutting down."""


class DeadlineError(Exception):
    """An answer would have come too late, and was not computed."""


class Answer(NamedTuple):
    """What one piece of work gave.

    Attributes:
        result: A typed result; None for raw arrays.
        outputs: Activated outputs by name, with one row per row of the work.
        json: The result's `to_dict` as JSON, for work that asked for it; else nothing.
    """

    result: Any
    outputs: Mapping[str, Array]
    json: bytes


@dataclass(eq=False)
class Work:
    """An item, or a block of rows for the graph, on its way.

    Attributes:
        item: What `InputKind.load` takes; unused where there are `arrays`.
        arrays: What the first graph takes, one row per item.
        deadline_s: `time.monotonic` after which nobody waits for it.
        encode: Whether its result is wanted as JSON.
        ticket: Whatever its owner needs to find itself again.
        sample: The loaded item.
        rows: How much of a batch it fills.
        entered_s: When it joined the queue, as `time.monotonic`.
        origin: Which request it is of; None where nobody wants to know.
    """

    item: Any = None
    arrays: dict[str, Array] | None = None
    deadline_s: float = math.inf
    encode: bool = True
    ticket: Any = None
    sample: Sample | None = None
    rows: int = 1
    entered_s: float = 0.0
    origin: Origin | None = None


@dataclass(frozen=True)
class BatchRecord:
    """What an observer is told of a batch after its answers are out.

    Attributes:
        works: What was in it, in order.
        outcomes: An `Answer` or an exception for each.
        rows: Rows that the graph was run on.
        load_s: Seconds of decoding and resizing.
        compute_s: Seconds in the engine, and of stacking what goes in.
        finish_s: Seconds from arrays to results and JSON.
        started_s: When a worker took it, as `time.monotonic`.
    """

    works: Sequence[Work]
    outcomes: Sequence[Any]
    rows: int
    load_s: float
    compute_s: float
    finish_s: float
    started_s: float


Deliver = Callable[[list[tuple[Work, Any]]], None]
Observer = Callable[[BatchRecord], None]


@dataclass
class _Laps:
    """Seconds of the phases of one batch."""

    load_s: float = 0.0
    compute_s: float = 0.0
    finish_s: float = 0.0
    rows: int = 0
    outcomes: dict[int, Any] = field(default_factory=dict)


class Batcher:
    """Runs work on one predictor in threads of its own.

    Args:
        predictor: Open for as long as this is.
        options: Bounds.
        deliver: Told, by a worker's thread, each batch's work with its `Answer` or exception.
        observers: Told of each batch after it was delivered.
    """

    def __init__(
        self, predictor: Predictor, options: Batching, deliver: Deliver, observers: Sequence[Observer] = ()
    ) -> None:
        self._predictor = predictor
        self._max_rows = min(options.max_batch, predictor.spec.batch.max or options.max_batch)
        self._max_wait_s = options.max_wait_ms / 1000
        self._max_queue = options.max_queue
        self._deliver, self._observers = deliver, tuple(observers)
        self._queue: deque[Work] = deque()
        self._waiting_rows = 0
        self._closed = False
        self._row_s = _FIRST_GUESS_S
        self._ready = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"{predictor.spec.name}-{number}", daemon=True)
            for number in range(options.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows in the queue."""
        return self._waiting_rows

    def submit(self, works: Sequence[Work]) -> None:
        """Queue all of `works`, or none.

        Raises:
            QueueFullError: There is no room for all of them.
            ClosedError: Nothing is taken any more.
        """
        rows = sum(work.rows for work in works)
        now = time.monotonic()
        with self._ready:
            if self._closed:
                raise ClosedError
            if self._waiting_rows + rows > self._max_queue and (self._queue or rows > self._max_queue):
                raise QueueFullError(self._waiting_rows * self._row_s)
            for work in works:
                work.entered_s = now
            self._queue.extend(works)
            self._waiting_rows += rows
            self._ready.notify(len(works) if len(works) < len(self._threads) else len(self._threads))

    def abandon(self) -> int:
        """Take no more, and forget what waits; returns how many. For work that nobody waits for."""
        with self._ready:
            forgotten = len(self._queue)
            self._queue.clear()
            self._waiting_rows = 0
            self._closed = True
            self._ready.notify_all()
        return forgotten

    def close(self) -> None:
        """Take no more, answer what waits, and end the threads."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (taken := self._next_batch()) is not None:
            works, late = taken
            if late:
                self._deliver([(work, DeadlineError()) for work in late])
            if works:
                self._run(works)

    def _next_batch(self) -> tuple[list[Work], list[Work]] | None:
        """What to run now, and what nobody waits for any more; None when all is done."""
        with self._ready:
            while not self._queue:
                if self._closed:
                    return None
                self._ready.wait()
            if self._max_wait_s and not self._closed:
                self._wait_for_more()
            works: list[Work] = []
            late: list[Work] = []
            rows, now = 0, time.monotonic()
            while self._queue and (not rows or rows + self._queue[0].rows <= self._max_rows):
                work = self._queue.popleft()
                self._waiting_rows -= work.rows
                if work.deadline_s < now:
                    late.append(work)
                    continue
                works.append(work)
                rows += work.rows
            return works, late

    def _wait_for_more(self) -> None:
        until = self._queue[0].entered_s + self._max_wait_s
        while self._queue and self._waiting_rows < self._max_rows and not self._closed:
            left = until - time.monotonic()
            if left <= 0 or not self._ready.wait(left):
                return

    def _run(self, works: list[Work]) -> None:
        started = time.monotonic()
        laps = _Laps()
        groups = self._loaded(works, laps)
        for group in groups.values():
            self._run_group([works[at] for at in group], group, laps)
        outcomes = [laps.outcomes[at] for at in range(len(works))]
        self._deliver(list(zip(works, outcomes, strict=True)))
        took = time.monotonic() - started
        rows = max(1, sum(work.rows for work in works))
        self._row_s += _SMOOTHING * (took / rows - self._row_s)
        record = BatchRecord(works, outcomes, laps.rows, laps.load_s, laps.compute_s, laps.finish_s, started)
        for observer in self._observers:
            try:
                observer(record)
            except Exception as error:  # noqa: BLE001 - who watches must not end the thread that works
                _LOG.error("an observer of batches failed", exc_info=error)

    def _loaded(self, works: list[Work], laps: _Laps) -> dict[Hashable, list[int]]:
        """Load every item; which of them may share a call."""
        begun = time.perf_counter()
        kind = self._predictor.spec.input
        groups: dict[Hashable, list[int]] = {}
        for at, work in enumerate(works):
            try:
                if work.arrays is None:
                    work.sample = kind.load(work.item)
                    key: Hashable = kind.together(work.sample)
                else:
                    key = tuple((name, array.shape[1:]) for name, array in work.arrays.items())
            except EdgewrightError as error:
                laps.outcomes[at] = error
            except Exception as error:  # noqa: BLE001 - one item's trouble must not end the others' thread
                laps.outcomes[at] = _unexpected(error)
            else:
                groups.setdefault((work.arrays is None, key), []).append(at)
        laps.load_s += time.perf_counter() - begun
        return groups

    def _run_group(self, works: list[Work], places: list[int], laps: _Laps) -> None:
        """Run work that shares a call; where that fails, each by itself."""
        try:
            answers = self._answers(works, laps)
        except Exception as error:  # noqa: BLE001 - as above
            if len(works) > 1:
                for work, place in zip(works, places, strict=True):
                    self._run_group([work], [place], laps)
                return
            known = isinstance(error, EdgewrightError)
            answers = [error if known else _unexpected(error)]
        laps.outcomes.update(zip(places, answers, strict=True))

    def _answers(self, works: list[Work], laps: _Laps) -> list[Any]:
        predictor, begun = self._predictor, time.perf_counter()
        samples = [work.sample for work in works if work.sample is not None]
        arrays = predictor.stack(samples) if samples else _put_together(works)
        outputs = predictor.compute(arrays)
        computed = time.perf_counter()
        laps.compute_s += computed - begun
        laps.rows += sum(work.rows for work in works)
        answers = self._of_items(works, samples, outputs) if samples else self._of_rows(works, outputs)
        laps.finish_s += time.perf_counter() - computed
        return answers

    def _of_items(self, works: list[Work], samples: list[Sample], outputs: dict[str, Array]) -> list[Any]:
        activated = self._predictor.activated(outputs, samples)
        results = self._predictor.spec.output.read(activated, samples)
        return [
            Answer(
                result,
                {name: array[row : row + 1] for name, array in activated.items()},
                to_json(result.to_dict()) if work.encode else b"",
            )
            for row, (work, result) in enumerate(zip(works, results, strict=True))
        ]

    def _of_rows(self, works: list[Work], outputs: dict[str, Array]) -> list[Any]:
        activated = self._predictor.spec.activated(outputs)
        answers, start = [], 0
        for work in works:
            rows = {name: array[start : start + work.rows] for name, array in activated.items()}
            answers.append(Answer(None, rows, b""))
            start += work.rows
        return answers


def to_json(data: Any) -> bytes:
    """Compact JSON in UTF-8; numbers that JSON does not have (NaN, infinity) become null."""
    try:
        return _compact(data)
    except ValueError:
        return _compact(_finite(data))


def _compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _put_together(works: list[Work]) -> dict[str, Array]:
    blocks = [work.arrays for work in works if work.arrays is not None]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _unexpected(error: Exception) -> EdgewrightError:
    if isinstance(error, MemoryError):
        return InputError("Item", got="more than fits into memory", expected="a smaller one", fix="Cut it.")
    _LOG.error("a prediction failed inside", exc_info=error)
    return EngineError(
        "Prediction",
        got=f"{type(error).__name__} inside",
        expected="an answer",
        fix="Look at the server's log, and report it.",
    )
