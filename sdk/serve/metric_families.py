"""What a server measures: every metric's name, kind, labels and meaning, in one table.

Dashboards, alert rules and the documentation are tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS = tuple(float(f"{digits}e{power}") for power in range(-4, 1) for digits in ("1", "2.5", "5"))
"""Upper bounds of latency buckets: three a decade, from what a small network takes to the usual deadline."""
ITEMS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Upper bounds of buckets for sizes of batches."""
VERSION = ("model", "version")
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
SUM, NEWEST = "livesum", "mostrecent"
"""How a gauge of several replicas is read: added up over those that live, or what one of them set last."""


@dataclass(frozen=True, eq=False)
class Family:
    """One metric.

    Attributes:
        name: As it is scraped, without the suffixes of a histogram's series.
        kind: `COUNTER`, `GAUGE` or `HISTOGRAM`.
        labels: In order. ``model`` is empty where a request named none that is served.
        help: What it counts or measures, with its unit.
        buckets: Upper bounds, of histograms.
        over_replicas: Of gauges: how `prometheus_client` makes one of those of all replicas.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    over_replicas: str = SUM


REQUESTS = Family(
    "edgewright_requests_total",
    COUNTER,
    (*VERSION, "endpoint", "status"),
    "Requests by HTTP status",
)
REQUEST_SECONDS = Family(
    "edgewright_request_seconds", HISTOGRAM, (*VERSION, "endpoint"),
    "Seconds from a request's head to its answer's last byte", SECONDS,
)  # fmt: skip
PHASE_SECONDS = Family(
    "edgewright_phase_seconds", HISTOGRAM, (*VERSION, "phase"),
    "Seconds of an item in the queue, and of a batch in load, compute and finish", SECONDS,
)  # fmt: skip
BATCH_ITEMS = Family(
    "edgewright_batch_items", HISTOGRAM, VERSION, "Rows of each batch that the engine ran", ITEMS
)
ITEMS_TOTAL = Family(
    "edgewright_items_total", COUNTER, (*VERSION, "outcome"), "Items by outcome: answered, unusable, failed"
)
QUEUE_ITEMS = Family("edgewright_queue_items", GAUGE, VERSION, "Items that wait for a worker")
QUEUE_LIMIT = Family("edgewright_queue_limit_items", GAUGE, ("model",), "Items that may wait")
IN_FLIGHT = Family("edgewright_requests_in_flight", GAUGE, (), "Requests that have no whole answer yet")
REJECTIONS = Family(
    "edgewright_rejections_total", COUNTER, ("model", "reason"), "Requests and connections refused, by reason"
)
SWAPS = Family(
    "edgewright_swaps_total", COUNTER, ("model", "outcome"),
    "Attempts to replace a model's version: swapped, or refused with the old one kept",
)  # fmt: skip
READY = Family("edgewright_ready_replicas", GAUGE, (), "Processes that take requests")
VERSIONS = Family(
    "edgewright_version_replicas", GAUGE, (*VERSION, "runtime", "task", "precision"),
    "Times that this version is open, over all processes",
)  # fmt: skip
RESTARTS = Family(
    "edgewright_replica_restarts_total", COUNTER, (), "Replicas that ended and were started again"
)
MEMORY = Family("edgewright_resident_memory_bytes", GAUGE, (), "Resident memory of all processes, bytes")
CPU = Family("edgewright_cpu_seconds_total", COUNTER, (), "Processor time of the server's processes, seconds")
LOG_ROWS = Family(
    "edgewright_prediction_log_rows_total", COUNTER, ("outcome",),
    "Rows of the prediction log: written, dropped since its queue was full, failed in the database",
)  # fmt: skip
DRIFT = Family(
    "edgewright_drift_score", GAUGE, (*VERSION, "feature", "statistic"),
    "Distance of a feature from the artifact's reference: psi, ks", over_replicas=NEWEST,
)  # fmt: skip
DRIFTED = Family(
    "edgewright_drifted_features", GAUGE, VERSION, "Features that drifted, by size and by significance",
    over_replicas=NEWEST,
)  # fmt: skip
SHADOW = Family(
    "edgewright_shadow_items_total", COUNTER, (*VERSION, "outcome"),
    "Items given to a shadow version: agrees, differs, failed, dropped",
)  # fmt: skip

FAMILIES = (
    REQUESTS, REQUEST_SECONDS, PHASE_SECONDS, BATCH_ITEMS, ITEMS_TOTAL, QUEUE_ITEMS, QUEUE_LIMIT, IN_FLIGHT,
    REJECTIONS, SWAPS, READY, VERSIONS, RESTARTS, MEMORY, CPU, LOG_ROWS, DRIFT, DRIFTED, SHADOW,
)  # fmt: skip

REASONS = {
    400: "malformed",
    401: "no_key",
    404: "not_found",
    405: "method",
    408: "slow_body",
    411: "no_length",
    413: "too_large",
    415: "media_type",
    422: "unusable",
    429: "queue_full",
    431: "headers",
    500: "engine",
    503: "not_ready",
    504: "deadline",
}
"""What `REJECTIONS` calls a status. What is refused before there is a request has reasons of its own."""
