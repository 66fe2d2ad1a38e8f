"""The report as one HTML page that needs nothing beside itself, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from sdk.bench import charts, words
from sdk.bench.pareto import pareto
from sdk.bench.record import MEASURED, NOT_RUN, VOID, BenchReport, BenchRun
from sdk.bench.words import interval, layer_cells, memory, ms, quoted, seconds


def page_style() -> str:
    """The style that this project's reports share."""
    return (Path(__file__).parent / "page_style.css").read_text(encoding="utf-8")


def as_html(report: BenchReport) -> str:
    """The page."""
    timed = [run for run in report.runs if run.latency]
    body = [_tiles(report), *_warnings(report), _section("Every artifact", _TABLE_NOTE, _table(report))]
    if timed:
        body.append(_section("Distribution of latencies", _RIDGE_NOTE, charts.distributions(timed)))
        body.append(_pair(_phases(timed), _cold(report.runs)))
        body.append(_pair(*_fronts(timed)))
        body.append(_layers(report))
    body.append(_section("Measured on", f"Inputs: {report.inputs}.", _facts(report)))
    body.append(_section("How it was measured", "", _method(report)))
    return _PAGE.format(
        style=page_style(),
        title=escape(", ".join(run.file for run in report.runs)),
        heading=escape(_heading(report)),
        lead=escape(f"{words.scenario_words(report.options).capitalize()}. {report.machine_class}."),
        body="\n".join(part for part in body if part),
        created=escape(report.created_utc),
    )


def _heading(report: BenchReport) -> str:
    names = [run.file for run in report.runs]
    return (
        f"How fast is {names[0]}?"
        if len(names) == 1
        else f"{len(names)} artifacts, one machine, taking turns"
    )


def _tiles(report: BenchReport) -> str:
    good = [run for run in report.runs if run.status == MEASURED and run.latency]
    found: list[tuple[str, str]] = []
    medians = [
        (run.latency.p50.value_ms, run.file) for run in good if run.latency and run.latency.p50.value_ms
    ]
    if medians:
        best, name = min(medians)
        found.append((f"{ms(best)} ms", f"median of one call with {name}"))
    tails = [(run.latency.p99.value_ms, run.file) for run in good if run.latency and run.latency.p99.value_ms]
    if tails:
        best, name = min(tails)
        found.append((f"{ms(best)} ms", f"p99 with {name}"))
    speeds = [(run.throughput_per_s, run.file) for run in good if run.throughput_per_s]
    if speeds:
        most, name = max(speeds)
        found.append((f"{most:,.0f} /s", f"predictions per second with {name}"))
    starts = [(run.cold_start.cold_start_s.median, run.file) for run in good if run.cold_start]
    if starts:
        best, name = min(starts)
        found.append((seconds(best), f"from process start to first result with {name}"))
    peaks = [(run.cold_start.peak_rss_bytes.median, run.file) for run in good if run.cold_start]
    if peaks:
        best, name = min(peaks)
        found.append((memory(best), f"peak memory with {name}"))
    tiles = (
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span></div>' for value, text in found
    )
    return f'<div class="tiles">{"".join(tiles)}</div>' if found else ""


def _warnings(report: BenchReport) -> list[str]:
    void = [f"{run.file}: {run.reason}" for run in report.runs if run.status == VOID]
    if not void:
        return []
    items = "".join(f"<li>{escape(text)}</li>" for text in void)
    said = f"<p>These figures must not be used.</p><ul>{items}</ul>"
    return [f'<section class="alarm"><h2>Void</h2>{said}</section>']


def _table(report: BenchReport) -> str:
    heads = ("Artifact", "Size", "Accuracy", "p50", "p90", "p99", "Items/s", "Status")
    cells = "".join(
        f'<th scope="col" class="{"number" if 0 < i < 7 else ""}">{head}</th>' for i, head in enumerate(heads)
    )
    rows = "".join(_row(run) for run in report.runs)
    notes = "".join(f"<li>{escape(note)}</li>" for note in words.notes(report))
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return _grid(cells, rows) + listed


def _row(run: BenchRun) -> str:
    style = {MEASURED: "good", VOID: "bad", NOT_RUN: "warn"}[run.status]
    accuracy = run.accuracy
    accurate, sure = words.accuracy_words(accuracy)
    latency = run.latency
    if latency:
        times = [(quoted(p), interval(p)) for p in (latency.p50, latency.p90, latency.p99)]
    else:
        times = [(words.NOTHING, "")] * 3
    speed = words.rate(run.throughput_per_s) if run.throughput_per_s is not None else words.NOTHING
    calls = f"{latency.count:,} calls" if latency else ""
    if run.tokens_per_s:
        calls += f", {run.tokens_per_s:,.0f} tokens/s"
    colour = charts.colour_of(run)
    numbers = [(words.size(run.size_bytes), ""), (accurate, sure), *times, (speed, calls)]
    tds = "".join(f'<td class="number">{escape(a)}<small>{escape(b)}</small></td>' for a, b in numbers)
    return (
        f'<tr><td><b>{escape(run.file)}</b><small><i class="swatch" style="background:{colour}"></i>'
        f"{escape(run.engine)}</small></td>{tds}"
        f'<td><span class="badge {style}">{escape(run.status)}</span></td></tr>'
    )


def _phases(timed: Sequence[BenchRun]) -> str:
    shown = [run for run in timed if run.phases]
    if not shown:
        return ""
    lines = [
        f"<li>{escape(run.file)}: {escape(words.phase_cells(run)[-1])}</li>"
        for run in shown
        if run.phases and run.phases.device_ms
    ]
    inside = f'<ul class="notes">{"".join(lines)}</ul>' if lines else ""
    return _section("Where the time goes", _PHASES_NOTE, charts.phases(shown) + inside)


def _cold(runs: Sequence[BenchRun]) -> str:
    started = [run for run in runs if run.cold_start]
    return (
        _section("From process start to first result", _COLD_NOTE, charts.cold_starts(started))
        if started
        else ""
    )


def _fronts(timed: Sequence[BenchRun]) -> list[str]:
    size = pareto(timed, lambda run: run.size_bytes / 1e6, "size, MB", more_is_better=False)
    headline = next((run.accuracy for run in timed if run.accuracy), None)
    accuracy = headline and pareto(
        timed,
        lambda run: run.accuracy.plotted if run.accuracy else None,
        ", ".join(part for part in (headline.name, headline.unit) if part),
        more_is_better=headline.mode == "max",
    )
    return [
        _section("Latency and size", _FRONT_NOTE, size) if size else "",
        _section("Latency and accuracy", _ACCURACY_NOTE, accuracy) if accuracy else "",
    ]


def _layers(report: BenchReport) -> str:
    shown = words.slowest_layers(report)
    if not shown:
        return ""
    heads = "".join(
        f'<th scope="col" class="{"number" if head in ("ms", "Share") else ""}">{head}</th>'
        for head in ("Artifact", "Layer", "Kind", "ms", "Share", "Device")
    )
    rows, above = [], None
    for run, layer in shown:
        file, name, kind, time, share, device = map(escape, layer_cells(run, layer))
        colour = charts.colour_of(run)
        bar = f'<i class="meter" style="width:{100 * layer.share:.1f}%;background:{colour}"></i>'
        first = f"<b>{file}</b>" if run is not above else ""
        rows.append(
            f"<tr><td>{first}</td><td><code>{name}</code>{bar}</td><td>{kind}</td>"
            f'<td class="number">{time}</td><td class="number">{share}</td><td>{device}</td></tr>'
        )
        above = run
    return _section("The slowest layers", _LAYERS_NOTE, _grid(heads, "".join(rows)))


def _facts(report: BenchReport) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>"
        for name, value in words.machine_words(report)
    )
    return _grid("", rows)


def _method(report: BenchReport) -> str:
    rule = next((run.warm_up.rule for run in report.runs if run.warm_up), "")
    points = [f"Warm-up: {rule}." if rule else "", *_METHOD]
    return f'<ul class="notes">{"".join(f"<li>{escape(point)}</li>" for point in points if point)}</ul>'


def _grid(heads: str, rows: str) -> str:
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div>'


def _pair(*parts: str) -> str:
    present = "".join(parts)
    return f'<div class="pair">{present}</div>' if present else ""


def _section(title: str, note: str, body: str) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


_TABLE_NOTE = "Milliseconds per call above their 95 % intervals. Accuracy is of the file's own evidence."
_RIDGE_NOTE = "Every call of every artifact. Thick lines are the 95 % intervals of the percentiles."
_PHASES_NOTE = "Typical dissected predictions; the tick is the median of whole ones between them."
_COLD_NOTE = "Medians of fresh processes, with the peak of their memory."
_FRONT_NOTE = (
    "Further down is faster, further left is smaller. Filled: the Pareto front, which none beats in both."
)
_ACCURACY_NOTE = "Further down is faster, further right is better. Filled: the Pareto front."
_LAYERS_NOTE = "By each engine's own profiler, which costs time itself: shares tell more than milliseconds."
_METHOD = (
    "Whole calls of Predictor.predict on real inputs are timed; nothing is left out of the tail.",
    "The artifacts take turns in blocks of shuffled order; the first 0.1 s of each do not count.",
    "A percentile is quoted only with the calls for it: 64 for p90, 662 for p99 (MLPerf's early stopping).",
    "Intervals of 95 % lie between order statistics, wider where neighbouring calls resemble each other.",
    "Cold starts and memory are of fresh processes.",
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edgewright benchmark: {title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Edgewright benchmark</p>
<h1>{heading}</h1>
<p class="lead">{lead}</p>
</header>
{body}
<footer>Written by <code>edgewright bench</code>, {created}.
Latencies hold for this machine and moment.</footer>
</main>
</body>
</html>
"""
