"""What a server remembers of its predictions: the log, the eye on drift, and feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdk.monitor.drift import Limits
from sdk.monitor.hook import Hook
from sdk.monitor.prediction_log import Entry, PredictionLog, now
from sdk.monitor.watch import DriftWatch
from sdk.serve.batching import Answer, BatchRecord
from sdk.serve.metrics import Metrics
from sdk.serve.models import Version
from sdk.serve.monitor_options import MonitorOptions


class Monitoring:
    """The log of one process and what hangs on it.

    Args:
        options: What is asked for; `log` is not None.
        metrics: Told of rows and of drift.

    Raises:
        UsageError: The log cannot be opened, or there is no such hook.
        EngineMissingError: SQLAlchemy or a driver is missing.
    """

    def __init__(self, options: MonitorOptions, metrics: Metrics) -> None:
        assert options.log is not None
        self._metrics = metrics
        hook = Hook(options.on_drift) if options.on_drift else None
        self._known: set[tuple[str, str]] = set()
        self.log = PredictionLog(options.log, share=options.log_share, written=self._written)
        limits = Limits(psi=options.psi, fewest=options.window)
        self.watch = DriftWatch(
            self.log.tables, window=options.window, limits=limits, hook=hook, told=metrics.drift
        )

    def batch(self, version: Version, record: BatchRecord) -> None:
        """Log a batch's answers; an observer as `ModelTable` takes them."""
        key, spec = (version.model, version.label), version.predictor.spec
        if key not in self._known:
            self._known.add(key)
            self.watch.know(*key, version.predictor.manifest.reference)
        done = record.started_s + record.load_s + record.compute_s + record.finish_s
        entries, at = [], now()
        for work, outcome in zip(record.works, record.outcomes, strict=True):
            if work.origin is None or work.sample is None or not isinstance(outcome, Answer):
                continue
            request, place, route, _ = work.origin
            latency_ms = 1000 * (done - work.entered_s)
            entries.append(
                Entry(*key, route, request, place, latency_ms, spec, work.sample, outcome.result, at)
            )
        self.log.add(entries)

    def remember(self, model: str, judgements: Sequence[Mapping[str, Any]]) -> None:
        """Store feedback, checked by `sdk.serve.feedback`; what was said of an item before is replaced."""
        import sqlalchemy as sa

        table = self.log.tables.feedback
        rows = [{"model": model, "at": now(), **judgement} for judgement in judgements]
        with self.log.tables.engine.begin() as connection:
            for row in rows:
                same = sa.and_(*(table.c[name] == row[name] for name in ("model", "request", "item")))
                connection.execute(sa.delete(table).where(same))
            connection.execute(table.insert(), rows)

    def sample(self) -> None:
        """Bring counters up to date."""
        log = self.log
        self._metrics.logged({"written": log.rows, "dropped": log.dropped, "failed": log.failed})

    def close(self) -> None:
        """Write what waits."""
        self.log.close()
        self.sample()

    def _written(self, counts: Mapping[tuple[str, str], int]) -> None:
        self.watch.written(counts)
