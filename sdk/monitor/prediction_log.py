"""The prediction log: what was asked and answered, as numbers, without what was asked or answered.

Rows are gathered by a thread of their own: a prediction hands over its sample and its result and goes on.
When that thread cannot keep up, rows are dropped and counted; an answer is never held up.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from runtimes.errors import first_line
from sdk.kinds import Sample
from sdk.monitor.log_tables import MAIN, open_tables
from sdk.monitor.reference import INPUT, OUTPUT
from sdk.spec import Spec

if TYPE_CHECKING:
    from sdk.predictor import Predictor

MOST_WAITING = 2048
"""Rows that wait to be written, at most."""
MOST_WAITING_BYTES = 64 * 1024**2
"""And how much memory their samples and results may hold."""
CLOSE_S = 10.0
_AT_ONCE = 256
_FLUSH_S = 0.5

_log = logging.getLogger("edgewright.monitor")


class Entry(NamedTuple):
    """One answer on its way into the log.

    Attributes:
        model: The model's name.
        version: Of the version that answered.
        route: `MAIN`, `AB` or `SHADOW`.
        request: The request's id.
        item: Which of the request's items.
        latency_ms: From the queue to the answer.
        spec: Of the version.
        sample: What was asked.
        result: What was answered.
        at: When, in seconds since 1970.
    """

    model: str
    version: str
    route: str
    request: str
    item: int
    latency_ms: float
    spec: Spec
    sample: Sample
    result: Any
    at: float


class PredictionLog:
    """Writes predictions to a database. A context manager.

    Args:
        where: A file (SQLite), or an SQLAlchemy URL.
        share: Of the predictions that are written, 0..1; which ones goes by the request's id.
        written: Called by the writing thread after each transaction, with how many rows of which (model,
            version).

    Raises:
        EngineMissingError: SQLAlchemy or a driver is not installed.
        UsageError: The database cannot be opened.
    """

    def __init__(
        self,
        where: str,
        *,
        share: float = 1.0,
        written: Callable[[Mapping[tuple[str, str], int]], None] | None = None,
    ) -> None:
        self.tables = open_tables(where, create=True)
        self.dropped, self.failed, self.rows = 0, 0, 0
        self._share, self._written = share, written
        self._waiting: deque[tuple[Entry, int]] = deque()
        self._bytes, self._closed = 0, False
        self._changed = threading.Condition()
        self._idle, self._hurry = True, False
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, entries: Sequence[Entry]) -> None:
        """Hand rows over; returns at once, and drops what there is no room for."""
        with self._changed:
            for entry in entries:
                if self._share < 1.0 and not sampled(entry.request, self._share):
                    continue
                size = _weight(entry)
                full = len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_WAITING_BYTES
                if self._closed or (full and self._waiting):
                    self.dropped += 1
                    continue
                self._waiting.append((entry, size))
                self._bytes += size
            self._changed.notify_all()

    def predict(self, predictor: Predictor, items: Sequence[Any], model: str | None = None) -> list[Any]:
        """Predict and log, for programs that have no server.

        Args:
            predictor: The artifact.
            items: As `Predictor.predict` takes them in a list.
            model: Its name in the log; None: that of its spec.

        Returns:
            A result per item.

        Raises:
            InputError: An item cannot be used.
            EngineError: The engine failed.
        """
        spec, request, results = predictor.spec, uuid.uuid4().hex, []
        version = predictor.manifest.label
        for start in range(0, len(items), predictor.batch_size):
            begun = time.perf_counter()
            arrays, samples = predictor.prepare(items[start : start + predictor.batch_size])
            found = predictor.finish(predictor.compute(arrays), samples)
            took_ms = 1000 * (time.perf_counter() - begun)
            self.add(
                [
                    Entry(model or spec.name, version, MAIN, request, start + at, took_ms, spec, *pair, now())
                    for at, pair in enumerate(zip(samples, found, strict=True))
                ]
            )
            results += found
        return results

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything handed over so far was written; False where that took too long."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._idle and not self._waiting, timeout_s)

    def close(self) -> None:
        """Write what waits, and end the thread; a database that hangs is given `CLOSE_S` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            with self._changed:
                self._lost(len(self._waiting), "the database does not answer")
                self._waiting.clear()
            return
        self.tables.engine.dispose()

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        while entries := self._taken():
            try:
                self._write(entries)
            except Exception as error:  # noqa: BLE001 - a log that fails must not end the thread; it is counted
                self._lost(len(entries), first_line(error))
            with self._changed:
                self._idle = not self._waiting
                self._hurry = self._hurry and not self._idle
                self._changed.notify_all()

    def _taken(self) -> list[Entry]:
        """Up to `_AT_ONCE` entries, gathered for up to `_FLUSH_S`; none when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._idle = False
            self._changed.wait_for(self._enough, _FLUSH_S)
            taken = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            self._bytes -= sum(size for _, size in taken)
            return [entry for entry, _ in taken]

    def _lost(self, rows: int, reason: str) -> None:
        self.failed += rows
        _log.error("prediction_log_failed", extra={"fields": {"rows_lost": rows, "reason": reason}})

    def _enough(self) -> bool:
        return len(self._waiting) >= _AT_ONCE or self._closed or self._hurry

    def _write(self, entries: Sequence[Entry]) -> None:
        rows = [_row(entry) for entry in entries]
        with self.tables.engine.begin() as connection:
            connection.execute(self.tables.predictions.insert(), rows)
        self.rows += len(rows)
        if self._written is not None:
            counts: dict[tuple[str, str], int] = {}
            for entry in entries:
                key = (entry.model, entry.version)
                counts[key] = counts.get(key, 0) + 1
            self._written(counts)


def features_of(spec: Spec, sample: Sample, result: Any) -> dict[str, float | str]:
    """A prediction's features under their names in references; numbers that are none (NaN) are left out."""
    found: dict[str, float | str] = {
        f"{INPUT}{name}": value for name, value in spec.input.features(sample).items()
    }
    found |= {f"{OUTPUT}{name}": value for name, value in spec.output.features(result).items()}
    return {
        name: value if isinstance(value, str) else float(f"{value:.7g}")  # float32 has no more
        for name, value in found.items()
        if isinstance(value, str) or math.isfinite(value)
    }


def sampled(request: str, share: float) -> bool:
    """Whether a request belongs to a share of all; the same in every process."""
    return zlib.crc32(request.encode()) < share * 2**32


def _row(entry: Entry) -> dict[str, Any]:
    features = features_of(entry.spec, entry.sample, entry.result)
    return {
        "at": entry.at,
        "model": entry.model,
        "version": entry.version,
        "route": entry.route,
        "request": entry.request[:200],
        "item": entry.item,
        "latency_ms": entry.latency_ms,
        "features": json.dumps(features, separators=(",", ":")),
    }


def _weight(entry: Entry) -> int:
    """Bytes that an entry keeps alive, about."""
    held = sum(array.nbytes for array in entry.sample.arrays.values())
    held += sum(value.nbytes for value in vars(entry.result).values() if isinstance(value, np.ndarray))
    source = entry.sample.source
    size = getattr(source, "size", None)
    if isinstance(size, tuple):  # a PIL image
        held += size[0] * size[1] * len(getattr(source, "getbands", tuple)())
    return held + 1024


def now() -> float:
    """Seconds since 1970."""
    return time.time()
