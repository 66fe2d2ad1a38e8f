"""Prometheus metrics of a server: an observer of batches and requests, and what `/metrics` answers.

`prometheus_client` keeps counters and histograms; of several replicas, see `sdk.serve.shared_metrics`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import InputError, UsageError
from sdk.serve import metric_families as families
from sdk.serve.batching import Answer, BatchRecord
from sdk.serve.exchanges import Exchange
from sdk.serve.metric_families import COUNTER, FAMILIES, GAUGE, REASONS, Family
from sdk.serve.models import Version
from sdk.serve.shared_metrics import SHARED_FOLDER, summed

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from sdk.monitor.drift import DriftReport

SCRAPE_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""
SAMPLED_EVERY_S = 1.0
"""How often `Metrics.sample` is to be called, so that a scrape of one replica finds the state of all."""


class Metrics:
    """What one process measures.

    Its methods may be called from any thread, and cost a few microseconds.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, disable_created_metrics
        except ImportError as error:
            raise UsageError("edgewright serve", got="no prometheus-client installed",
                             expected="the extra 'serve'",
                             fix="Run: pip install 'edgewright[serve,onnx]'.") from error  # fmt: skip
        disable_created_metrics()  # a second series for each, and unused
        _require_folder(os.environ.get(SHARED_FOLDER))
        self._registry = CollectorRegistry()
        self._families = {family: _made(family, self._registry) for family in FAMILIES}
        self._bound: dict[tuple[Family, tuple[str, ...]], Any] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._in_flight = 0
        self._cpu_s = 0.0
        self._logged: dict[str, int] = {}

    def of(self, family: Family, *labels: str) -> Any:
        """The `prometheus_client` metric of a family with these labels' values, in the family's order."""
        key = (family, labels)
        if key not in self._bound:
            found = self._families[family]
            self._bound[key] = found.labels(*labels) if labels else found
        return self._bound[key]

    def batch(self, version: Version, record: BatchRecord) -> None:
        """Count a batch; an observer as `ModelTable` takes them."""
        names = (version.model, version.label)
        queue = self.of(families.PHASE_SECONDS, *names, "queue")
        outcomes = {"answered": 0, "unusable": 0, "failed": 0}
        for work, outcome in zip(record.works, record.outcomes, strict=True):
            queue.observe(record.started_s - work.entered_s)
            outcomes[_outcome(outcome)] += 1
        for phase in ("load", "compute", "finish"):
            self.of(families.PHASE_SECONDS, *names, phase).observe(getattr(record, f"{phase}_s"))
        if record.rows:
            self.of(families.BATCH_ITEMS, *names).observe(record.rows)
        for outcome, count in outcomes.items():
            if count:
                self.of(families.ITEMS_TOTAL, *names, outcome).inc(count)

    def request(self, exchange: Exchange) -> None:
        """Count a request; an observer as `ExchangeMiddleware` takes them."""
        where = (exchange.model, exchange.version, exchange.endpoint)
        self.of(families.REQUESTS, *where, str(exchange.status)).inc()
        self.of(families.REQUEST_SECONDS, *where).observe(exchange.seconds)
        if exchange.status in REASONS:
            self.refused(REASONS[exchange.status], exchange.model)

    def begun(self, change: int) -> None:
        """A request began (1) or ended (-1); on the event loop alone."""
        self._in_flight += change

    def refused(self, reason: str, model: str = "") -> None:
        """Count a request or a connection that was refused.

        Args:
            reason: One word of a few; never anything that a client wrote.
            model: Which served model it concerned, if one.
        """
        self.of(families.REJECTIONS, model, reason).inc()

    def swapped(self, model: str, done: bool) -> None:
        """Count an attempt to replace a model's version: done, or refused with the old one kept."""
        self.of(families.SWAPS, model, "swapped" if done else "refused").inc()

    def shadowed(self, model: str, version: str, outcome: str, count: int) -> None:
        """Count items that were given to a shadow; see `families.SHADOW`."""
        self.of(families.SHADOW, model, version, outcome).inc(count)

    def restarted(self) -> None:
        """Count a replica that ended and was started again; called by their supervisor."""
        self.of(families.RESTARTS).inc()

    def drift(self, report: DriftReport) -> None:
        """Show a version's newest drift; as `sdk.monitor.watch.DriftWatch` tells of it."""
        self.of(families.DRIFTED, report.model, report.version).set(len(report.drifted))
        for feature in report.features:
            names = (report.model, report.version, feature.name)
            self.of(families.DRIFT, *names, "psi").set(feature.psi)
            if feature.distance is not None:
                self.of(families.DRIFT, *names, "ks").set(feature.distance)

    def logged(self, rows: Mapping[str, int]) -> None:
        """Bring the counters of the prediction log up to its own, by outcome: written, dropped, failed."""
        for outcome, count in rows.items():
            self.of(families.LOG_ROWS, outcome).inc(count - self._logged.get(outcome, 0))
            self._logged[outcome] = count

    def sample(self, versions: Iterable[Version], ready: bool, queue_limit: int) -> None:
        """Set what is a state rather than an event.

        Args:
            versions: All that answer now.
            ready: Whether this process takes requests.
            queue_limit: Items that may wait, of one model.
        """
        self.of(families.READY).set(int(ready))
        self.of(families.IN_FLIGHT).set(self._in_flight)
        self.of(families.MEMORY).set(_resident_bytes())
        used = time.process_time()
        self.of(families.CPU).inc(used - self._cpu_s)
        self._cpu_s = used
        waiting: Counter[tuple[str, ...]] = Counter()
        there: Counter[tuple[str, ...]] = Counter()
        for version in versions:
            labels = _described(version)
            there[labels] += 1
            waiting[labels] += version.batcher.waiting
            self.of(families.QUEUE_LIMIT, version.model).set(queue_limit)
            self._start_at_zero(version.model)
        self._seen.update(there)
        for labels in self._seen:  # series of versions that were replaced stay, at zero
            self.of(families.VERSIONS, *labels).set(there[labels])
            self.of(families.QUEUE_ITEMS, *labels[:2]).set(waiting[labels])

    def _start_at_zero(self, model: str) -> None:
        """Make the series that alerts are about: Prometheus sees no increase in one that begins with 1."""
        for reason in ("engine", "queue_full", "deadline"):
            self.of(families.REJECTIONS, model, reason)
        for outcome in ("swapped", "refused"):
            self.of(families.SWAPS, model, outcome)

    def scraped(self) -> bytes:
        """Everything, over all replicas, as a body of `SCRAPE_TYPE`.

        Nothing is negotiated: every scraper takes this form, and `prometheus_client` 0.26 trips over some
        ``Accept`` headers that are malformed.
        """
        from prometheus_client import generate_latest

        if SHARED_FOLDER not in os.environ:
            return bytes(generate_latest(self._registry))
        with summed(Path(os.environ[SHARED_FOLDER])) as registry:
            return bytes(generate_latest(registry))


def _require_folder(shared: str | None) -> None:
    if shared is not None and not Path(shared).is_dir():
        raise UsageError(f"Variable {SHARED_FOLDER}", got=shared, expected="a folder that is there",
                         fix="Make it, or unset the variable.")  # fmt: skip


def _made(family: Family, registry: CollectorRegistry) -> Any:
    import prometheus_client

    if family.kind == COUNTER:
        return prometheus_client.Counter(family.name, family.help, family.labels, registry=registry)
    if family.kind == GAUGE:
        mode: Any = family.over_replicas
        return prometheus_client.Gauge(
            family.name, family.help, family.labels, registry=registry, multiprocess_mode=mode
        )
    return prometheus_client.Histogram(
        family.name, family.help, family.labels, registry=registry, buckets=family.buckets
    )


def _described(version: Version) -> tuple[str, ...]:
    """Labels of `families.VERSIONS`."""
    predictor = version.predictor
    precision = str(predictor.manifest.evidence.precision.get("requested", ""))
    return version.model, version.label, predictor.runtime.name, predictor.spec.task, precision


def _outcome(outcome: Any) -> str:
    if isinstance(outcome, Answer):
        return "answered"
    return "unusable" if isinstance(outcome, InputError) else "failed"


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
