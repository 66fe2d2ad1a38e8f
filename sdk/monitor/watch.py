"""A server's own eye on drift: compares the newest rows of a version whenever enough new ones are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from runtimes.errors import first_line
from sdk.monitor.drift import DEFAULT_WINDOW, DriftReport, Limits, measure_drift
from sdk.monitor.hook import Alarm, Hook
from sdk.monitor.log_reading import Logged, read_log
from sdk.monitor.log_tables import LogTables
from sdk.monitor.reference import Reference

_log = logging.getLogger("edgewright.monitor")


class DriftWatch:
    """Checks versions that have a reference, after each half window of new rows.

    Args:
        tables: Of the log.
        window: Rows to look at; at least what `limits` needs.
        limits: What counts as drift.
        hook: What to do then.
        told: Called with each report, for metrics.
    """

    def __init__(
        self,
        tables: LogTables,
        *,
        window: int = DEFAULT_WINDOW,
        limits: Limits | None = None,
        hook: Hook | None = None,
        told: Callable[[DriftReport], None] | None = None,
    ) -> None:
        self._tables, self._window, self._limits = tables, window, limits or Limits(fewest=window)
        self._alarm, self._told = Alarm(tables, hook), told
        self._references: dict[tuple[str, str], Reference] = {}
        self._new: dict[tuple[str, str], int] = {}

    def know(self, model: str, version: str, reference: Reference | None) -> None:
        """Watch a version from now on, if it has a reference."""
        if reference is not None:
            self._references[model, version] = reference

    def written(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Rows were written; for `PredictionLog`."""
        for key, count in counts.items():
            if key not in self._references:
                continue
            self._new[key] = self._new.get(key, 0) + count
            if self._new[key] >= self._window // 2:
                self._new[key] = 0
                try:
                    self.check(*key)
                except Exception as error:  # noqa: BLE001 - a check that fails must not cost rows of the log
                    fields = {"model": key[0], "version": key[1], "reason": first_line(error)}
                    _log.error("drift_check_failed", extra={"fields": fields})

    def check(self, model: str, version: str) -> DriftReport:
        """Look at the newest window now."""
        rows = read_log(self._tables, model, version, last=self._window)
        report = report_of(rows, self._references[model, version], self._limits, model, version)
        if self._told is not None:
            self._told(report)
        if self._alarm.see(report):
            fields = {"model": model, "version": version, "report": report.summary()}
            _log.warning("drift", extra={"fields": fields})
        return report


def report_of(
    rows: list[Logged], reference: Reference, limits: Limits, model: str, version: str
) -> DriftReport:
    """The report of rows of a log."""
    span = (_utc(rows[0].at), _utc(rows[-1].at)) if rows else (None, None)
    features = [row.features for row in rows]
    return measure_drift(reference, features, limits, model=model, version=version, span_utc=span)


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
