"""What a benchmark found, as it is stored: frozen dataclasses, one JSON object each, read back strictly.

docs/benchmark.md explains every field. A change of a field's name or meaning is a new `BENCH_VERSION`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from runtimes import SpecError
from runtimes.errors import first_line
from runtimes.layer_times import LayerTime
from sdk.artifact import Metric
from sdk.bench.figures import ColdStart, Energy, Latency, Phases
from sdk.bench.options import BenchOptions
from sdk.bench.warm_up import WarmUp
from sdk.codec import from_json, to_json

BENCH_FORMAT, BENCH_VERSION = "edgewright-bench", 2
MEASURED, VOID, NOT_RUN = "measured", "void", "not run"


@dataclass(frozen=True)
class BenchRun:
    """One artifact's figures.

    Attributes:
        file: Its name, or its path where several share a name.
        engine: The runtime that opens it.
        sha256: Of its payload.
        size_bytes: Of the whole file.
        task: Which task it was trained for.
        scenario: ``single-stream``, ``offline`` or ``server``.
        status: ``measured``; ``void`` where the figures must not be used; ``not run``.
        reason: Why it is void or was not run; None where it was measured.
        batch: Items per call.
        items: Items answered.
        throughput_per_s: Items answered per second.
        tokens_per_s: Tokens written per second, reading the prompt included; None where nothing is written.
        given_up: Arrivals that waited too long to be answered (``server``).
        latency: Of one call; None where it was not run.
        warm_up: What went before; None where it was not run.
        phases: Where the time goes; None where it was not run.
        cold_start: Fresh processes; None where none were asked for.
        cold_start_note: Why there is none; None where there is one.
        energy: None where the machine has no meter.
        clock: The throttling watch; None where it was not run.
        runtime: What the engine says of itself: version, device, threads.
        layers: The engine's own profile, slowest first; None where it was not asked for.
        layers_note: Why there is none; None where there is one.
        accuracy: The headline figure of the artifact's evidence; None where it has none.
    """

    file: str
    engine: str
    sha256: str
    size_bytes: int
    task: str
    scenario: str
    status: str
    reason: str | None
    batch: int | None
    items: int
    throughput_per_s: float | None
    tokens_per_s: float | None
    given_up: int
    latency: Latency | None
    warm_up: WarmUp | None
    phases: Phases | None
    cold_start: ColdStart | None
    cold_start_note: str | None
    energy: Energy | None
    clock: dict[str, Any] | None
    runtime: dict[str, Any]
    layers: tuple[LayerTime, ...] | None
    layers_note: str | None
    accuracy: Metric | None

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars, as they stand in the JSON file."""
        found: dict[str, Any] = to_json(self)
        return found

    def summary(self) -> str:
        """One line for people."""
        if self.latency is None or self.status != MEASURED:
            return f"{self.file}: {self.status}: {self.reason}"
        p50, p90, p99 = self.latency.p50, self.latency.p90, self.latency.p99
        tail = "" if p99.value_ms is None else f", p99 {p99.value_ms:.3f}"
        middle = "" if p50.value_ms is None else f"p50 {p50.value_ms:.3f} ms"
        middle += "" if p90.value_ms is None else f", p90 {p90.value_ms:.3f}"
        speed = f"{self.throughput_per_s:,.0f} items/s" if self.throughput_per_s else ""
        speed += f", {self.tokens_per_s:,.0f} tokens/s" if self.tokens_per_s else ""
        return f"{self.file} ({self.engine}), {self.scenario}: {middle or 'too few calls'}{tail}; {speed}"


@dataclass(frozen=True)
class BenchReport:
    """Everything one benchmark found.

    Attributes:
        format: ``edgewright-bench``.
        version: Of this layout.
        created_utc: ISO 8601, to the second.
        options: What was asked for.
        inputs: What predictions were timed on, in words.
        machine_class: What must be equal for two recorded latencies to be comparable.
        machine: The machine as `edgewright doctor --json` shows it.
        versions: Packages by name.
        runs: One per artifact, in the order given.
    """

    format: str
    version: int
    created_utc: str
    options: BenchOptions
    inputs: str
    machine_class: str
    machine: dict[str, Any]
    versions: dict[str, str]
    runs: tuple[BenchRun, ...]

    @property
    def holds(self) -> bool:
        """Whether something was measured and nothing is void."""
        found = {run.status for run in self.runs}
        return MEASURED in found and VOID not in found

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars."""
        found: dict[str, Any] = to_json(self)
        return found

    def dumps(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "Benchmark") -> BenchReport:
        """Read what `dumps` wrote.

        Args:
            text: The file's content.
            where: Its name, for messages.

        Raises:
            SpecError: Not JSON, of another kind or version, or a field that does not fit.
        """
        try:
            tree = json.loads(text)
        except ValueError as error:  # UnicodeDecodeError is one
            raise _foreign(where, f"text that is not JSON ({first_line(error)})") from error
        if not isinstance(tree, dict) or tree.get("format") != BENCH_FORMAT:
            raise _foreign(where, "JSON of another kind")
        if tree.get("version") != BENCH_VERSION:
            raise _foreign(where, f"version {tree.get('version')!r}")
        return from_json(cls, tree, where)


def finite(value: Any) -> Any:
    """`value` without what JSON cannot hold: other types as text, NaN and infinities as None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _foreign(where: str, got: str) -> SpecError:
    return SpecError(
        where,
        got=got,
        expected=f"what `edgewright bench --json` writes, version {BENCH_VERSION}",
        fix="Run the benchmark again.",
    )
