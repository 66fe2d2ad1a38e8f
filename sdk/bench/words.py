"""Figures as people read them: the cells that the terminal, Markdown and HTML have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.layer_times import LayerTime
from sdk.artifact import Metric
from sdk.artifact.evidence import SHARE
from sdk.bench.figures import ColdStart, Percentile
from sdk.bench.options import OFFLINE, SERVER, BenchOptions
from sdk.bench.record import MEASURED, NOT_RUN, BenchReport, BenchRun

NOTHING = "–"
ROW_HEADS = ("artifact", "engine", "size", "p50 ms", "95 % interval", "p90 ms", "p99 ms", "items/s", "status")
TOKEN_HEADS = ("artifact", "tokens/s", "ms per token", "tokens per answer")
COLD_HEADS = ("artifact", "cold start", "import", "load", "first", "peak memory", "launches")
PHASE_HEADS = ("artifact", "preprocess ms", "run ms", "postprocess ms", "sum", "whole", "inside the run")
LAYER_HEADS = ("artifact", "layer", "kind", "ms", "share", "device")
LAYERS_OF_ONE, LAYERS_OF_EACH = 15, 5
"""Rows of the table of layers: of a single artifact, and of each of several. All of them are in the JSON."""


def row_cells(run: BenchRun) -> tuple[str, ...]:
    """One artifact's line of the main table, in the order of `ROW_HEADS`."""
    latency = run.latency
    head = (run.file, run.engine, size(run.size_bytes))
    if latency is None:
        return (*head, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, run.status)
    speed = NOTHING if run.throughput_per_s is None else rate(run.throughput_per_s)
    p50, p90, p99 = latency.p50, latency.p90, latency.p99
    return (*head, quoted(p50), interval(p50), quoted(p90), quoted(p99), speed, run.status)


def token_cells(run: BenchRun, per_s: float) -> tuple[str, ...]:
    """In the order of `TOKEN_HEADS`; a token's time has its share of what reading the prompt took."""
    each = per_s / run.throughput_per_s if run.throughput_per_s else 0.0
    return run.file, f"{per_s:,.0f}", ms(1e3 / per_s), f"{each:.1f}"


def rate(per_s: float) -> str:
    """How many a second: whole ones, or two digits where there are few."""
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.2g}"


def quoted(percentile: Percentile) -> str:
    """Its value, or the count that it would take."""
    value = percentile.value_ms
    return f"needs {percentile.needs}" if value is None else ms(value)


def interval(percentile: Percentile) -> str:
    """Its 95 % interval."""
    if percentile.value_ms is None:
        return NOTHING
    low, high = percentile.low_ms, percentile.high_ms
    return f"{ms(low) if low is not None else '?'} to {ms(high) if high is not None else '?'}"


def accuracy_words(metric: Metric | None) -> tuple[str, str]:
    """The headline metric and its 95 % interval."""
    if metric is None:
        return NOTHING, ""
    if metric.unit != SHARE:
        return metric.text, metric.interval
    return f"{100 * metric.value:.1f} %", f"{100 * metric.low:.1f} to {100 * metric.high:.1f}"


def ms(value: float) -> str:
    """Milliseconds with four digits, of which no more than three are decimals."""
    return f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 100 else f"{value:,.1f}"


def seconds(value: float) -> str:
    """Seconds, or milliseconds where that reads better."""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.0f} ms"


def size(count: float) -> str:
    """Bytes in a unit that people compare by."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def memory(count: float) -> str:
    """Bytes of memory."""
    return f"{count / 1e6:,.0f} MB"


def cold_cells(run: BenchRun, cold: ColdStart) -> tuple[str, ...]:
    """In the order of `COLD_HEADS`."""
    spreads = (cold.cold_start_s, cold.import_s, cold.load_s, cold.first_s)
    words = (seconds(spread.median) for spread in spreads)
    return (run.file, *words, memory(cold.peak_rss_bytes.median), str(cold.launches))


def phase_cells(run: BenchRun) -> tuple[str, ...]:
    """In the order of `PHASE_HEADS`."""
    phases = run.phases
    if phases is None:
        return (run.file, *(NOTHING,) * 6)
    three = (phases.preprocess_ms, phases.run_ms, phases.postprocess_ms)
    device = ", ".join(
        f"{name.replace('_', ' ')} {ms(value)}" for name, value in (phases.device_ms or {}).items()
    )
    return (run.file, *map(ms, three), ms(sum(three)), ms(phases.predict_ms), device or NOTHING)


def slowest_layers(report: BenchReport) -> list[tuple[BenchRun, LayerTime]]:
    """What the table of layers shows: the slowest of every artifact that was profiled, in order."""
    profiled = [run for run in report.runs if run.layers]
    shown = LAYERS_OF_ONE if len(profiled) == 1 else LAYERS_OF_EACH
    return [(run, layer) for run in profiled for layer in (run.layers or ())[:shown]]


def layer_cells(run: BenchRun, layer: LayerTime) -> tuple[str, ...]:
    """In the order of `LAYER_HEADS`."""
    return (run.file, layer.name, layer.kind, f"{layer.ms:.4f}", f"{layer.share:.1%}", layer.device)


def scenario_words(options: BenchOptions) -> str:
    """What was asked of the artifacts."""
    if options.scenario == SERVER:
        workers = "one worker" if options.workers == 1 else f"{options.workers} workers"
        return f"server: {options.rate:g} arrivals per second at random, {workers}; latency includes waiting"
    if options.scenario == OFFLINE:
        return "offline: batches, one after the other; latency is that of a batch"
    return "single-stream: one prediction after the other"


def notes(report: BenchReport) -> list[str]:
    """What a reader has to know beside the figures: rows that are void, were not run, or are not steady."""
    found = []
    for run in report.runs:
        if run.status != MEASURED:
            found.append(f"{run.file}: {run.status}: {run.reason}")
        if run.status != NOT_RUN and run.cold_start_note and report.options.launches:
            found.append(f"{run.file}: no cold start: {run.cold_start_note}")
        if run.warm_up and not run.warm_up.stable:
            found.append(f"{run.file}: still unsteady after {run.warm_up.seconds:.1f} s of warm-up")
        if report.options.layers and run.layers_note and run.status != NOT_RUN:
            found.append(f"{run.file}: no layers: {run.layers_note}")
    return found


def clock_words(report: BenchReport) -> str:
    """What the throttling watch saw."""
    clock = next((run.clock for run in report.runs if run.clock), None)
    return str(clock["reason"]) if clock else "not watched"


def energy_words(run: BenchRun) -> str:
    """Energy of an item with its meter."""
    energy = run.energy
    if energy is None:
        return NOTHING
    whole, net = 1e3 * energy.joules_per_item, 1e3 * energy.net_joules_per_item
    power = f"{energy.watts:.1f} W, idle {energy.idle_watts:.1f} W"
    return f"{whole:.3g} mJ per item, {net:.3g} mJ above idle ({power}; {energy.source})"


def machine_words(report: BenchReport) -> list[tuple[str, str]]:
    """The environment as name and value."""
    machine = report.machine
    cpu: Mapping[str, Any] = machine.get("cpu") or {}
    jetson: Mapping[str, Any] = machine.get("jetson") or {}
    rows = [
        ("Machine", str(machine.get("name", NOTHING))),
        ("Processor", f"{cpu.get('model')}, {cpu.get('usable_cores')} of {cpu.get('cores')} cores"),
        ("Governor", str(cpu.get("governor") or "none shown")),
        ("Clock", clock_words(report)),
        ("Power mode", str(jetson.get("power_mode") or "none")),
        ("Temperature", _temperature(report)),
        ("Memory", memory(float(machine.get("memory_bytes") or 0))),
        ("System", f"{machine.get('system')}, kernel {machine.get('kernel')}, {machine.get('architecture')}"),
        ("GPU", ", ".join(str(gpu.get("name")) for gpu in machine.get("gpus") or []) or "none"),
        ("Machine class", report.machine_class),
    ]
    rows += [(f"Engine of {run.file}", _brief(run.runtime)) for run in report.runs if run.runtime]
    rows += [(f"Energy of {run.file}", energy_words(run)) for run in report.runs if run.energy]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [*rows, ("Versions", versions)]


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """A plain table; the first `left` columns and the last start at the left, the others end at the right."""
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    lines = []
    for line in (heads, ["─" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if i < left or i == len(heads) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _temperature(report: BenchReport) -> str:
    hottest = next((run.clock.get("temperature_max_c") for run in report.runs if run.clock), None)
    return f"at most {hottest:.0f} °C" if isinstance(hottest, (int, float)) else "no sensor"


def _brief(facts: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in facts.items() if isinstance(value, (str, int, float, bool))}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
