"""The page's charts of time: distributions, phases and cold starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sdk.bench.figures import BINS_PER_DECADE, Histogram, Latency, Percentile
from sdk.bench.record import BenchRun
from sdk.bench.svg import Axis, Drawing, text_width, tick_text
from sdk.bench.words import ms, seconds

WIDE, HALF = 1000.0, 490.0
ENGINE_COLOURS = {
    "torch": "#8b96a5",
    "onnxruntime": "#2f7de1",
    "executorch": "#e2762b",
    "tensorrt": "#4f9d3a",
    "fake": "#a35bc4",
}
OTHER_COLOUR = "#a35bc4"
PHASE_COLOURS = (("preprocess", "#2aa198"), ("run", "#2f7de1"), ("postprocess", "#e0a030"))
START_COLOURS = (
    ("Python", "#8b96a5"),
    ("import", "#a35bc4"),
    ("load", "#2f7de1"),
    ("first prediction", "#e2762b"),
)
_SHOWN_SHARE = 0.998
"""Of all calls, so many fit into the distributions' chart; the slowest are named by their number."""
_ROW, _RIDGE, _TOP = 72.0, 54.0, 34.0
_NAME_LINE = 15.0


def colour_of(run: BenchRun) -> str:
    """By its engine."""
    return ENGINE_COLOURS.get(run.engine, OTHER_COLOUR)


def distributions(runs: Sequence[BenchRun]) -> str:
    """A ridge per artifact on one logarithmic axis, with its percentiles and their intervals."""
    timed = [(run, run.latency) for run in runs if run.latency]
    height = _TOP + _ROW * len(timed) + 42
    drawing = Drawing(WIDE, height, "Distribution of latencies by artifact")
    low = 0.94 * min(latency.min_ms for _, latency in timed)
    high = 1.04 * max(_shown_until(latency) for _, latency in timed)
    left = _names_width(runs)
    axis = Axis(low, high, left, WIDE - 250, log=True)
    _heads(drawing)
    base = _TOP + _ROW * len(timed)
    for tick in axis.ticks(8):
        drawing.line(axis.at(tick), 26, axis.at(tick), base + 4)
        drawing.text(axis.at(tick), base + 16, tick_text(tick), kind="soft", anchor="middle")
    middle = (axis.start + axis.end) / 2
    drawing.text(middle, base + 34, "milliseconds per call, logarithmic", kind="soft", anchor="middle")
    for row, (run, latency) in enumerate(timed):
        _ridge(drawing, axis, run, latency, _TOP + _ROW * (row + 1) - 8)
    return drawing.render()


def _heads(drawing: Drawing) -> None:
    for column, head in enumerate(("p50", "p90", "p99")):
        drawing.text(WIDE - 160 + 80 * column, 12, head, kind="soft", anchor="end")
    drawing.dot(WIDE - 194, 12, 3.6, "ink", "p50")
    drawing.dot(WIDE - 114, 12, 3.6, "ink", "p90", hollow=True)
    drawing.line(WIDE - 34, 6, WIDE - 34, 18, kind="ink", width=2)


def _ridge(drawing: Drawing, axis: Axis, run: BenchRun, latency: Latency, base: float) -> None:
    colour = colour_of(run)
    points = [
        (axis.at(value), base - _RIDGE * share)
        for value, share in _density(latency.histogram)
        if axis.low <= value <= axis.high
    ]
    drawing.line(axis.start, base, axis.end, base)
    if len(points) > 1:
        drawing.area(points, base, colour)
    _name(drawing, run, base - 18)
    for column, (percentile, mark) in enumerate(
        ((latency.p50, "dot"), (latency.p90, "ring"), (latency.p99, "line"))
    ):
        value = percentile.value_ms
        text = "few calls" if value is None else ms(value)
        drawing.text(
            WIDE - 160 + 80 * column,
            base - 12,
            text,
            kind="strong" if column == 0 else "",
            anchor="end",
            font=14,
        )
        _mark(drawing, axis, percentile, base, mark)
    beyond = _beyond(latency.histogram, axis.high)
    if beyond:
        drawing.text(axis.end + 6, base - 1, f"+{beyond} › ", kind="soft", font=11)


def _mark(drawing: Drawing, axis: Axis, percentile: Percentile, base: float, mark: str) -> None:
    """A percentile on the base line, with its interval."""
    value, low, high = percentile.value_ms, percentile.low_ms, percentile.high_ms
    if value is None:
        return
    x = axis.at(value)
    drawing.line(
        axis.at(low if low is not None else value),
        base,
        axis.at(high if high is not None else axis.high),
        base,
        kind="ink",
        width=2.6,
    )
    if mark == "line":
        drawing.line(x, base - 7, x, base + 7, kind="ink", width=2)
    else:
        drawing.dot(x, base, 4.2, "ink", f"{ms(value)} ms", hollow=mark == "ring")


def phases(runs: Sequence[BenchRun]) -> str:
    """A stacked bar per artifact: preprocess, run, postprocess; a tick where the whole prediction is."""
    shown = [(run, run.phases) for run in runs if run.phases]
    rows = []
    for run, found in shown:
        parts = (found.preprocess_ms, found.run_ms, found.postprocess_ms)
        rows.append((run, parts, ms(sum(parts)), found.predict_ms))
    return _stacked(
        rows, PHASE_COLOURS, "milliseconds", "Phases of a prediction", lambda value: f"{ms(value)} ms"
    )


def cold_starts(runs: Sequence[BenchRun]) -> str:
    """A stacked bar per artifact: the interpreter's start, import, load, first prediction."""
    rows = []
    for run in runs:
        cold = run.cold_start
        if cold:
            known = (cold.import_s.median, cold.load_s.median, cold.first_s.median)
            python = max(0.0, cold.cold_start_s.median - sum(known))
            total = f"{seconds(cold.cold_start_s.median)} · {cold.peak_rss_bytes.median / 1e6:,.0f} MB"
            rows.append((run, (python, *known), total, None))
    return _stacked(rows, START_COLOURS, "seconds", "From process start to first result", seconds)


def _stacked(
    rows: Sequence[tuple[BenchRun, Sequence[float], str, float | None]],
    colours: Sequence[tuple[str, str]],
    unit: str,
    title: str,
    words: Callable[[float], str],
) -> str:
    row_height, top, thick = 52.0, 28.0, 20.0
    drawing = Drawing(HALF, top + row_height * len(rows) + 40, title)
    room = 14 + max(text_width(row[2], 13, strong=True) for row in rows)
    axis = Axis(0.0, max(max(sum(parts), whole or 0.0) for _, parts, _, whole in rows), 0, HALF - room)
    drawing.legend(0, 8, [(colour, name) for name, colour in colours])
    base = top + row_height * len(rows) + 4
    for tick in axis.ticks(5):
        drawing.line(axis.at(tick), top + 4, axis.at(tick), base)
        drawing.text(max(axis.at(tick), 4), base + 12, tick_text(tick), kind="soft", anchor="middle")
    drawing.text((axis.start + axis.end) / 2, base + 29, unit, kind="soft", anchor="middle")
    for index, (run, parts, total, whole) in enumerate(rows):
        upper = top + row_height * index + 22
        middle = upper + thick / 2
        drawing.text(0, upper - 10, run.file, kind="strong", font=13)
        drawing.text(
            text_width(run.file, 13, strong=True) + 8, upper - 10, run.engine, kind="soft", font=11.5
        )
        done = 0.0
        for (name, colour), part in zip(colours, parts, strict=True):
            start, end = axis.at(done), axis.at(done + part)
            tip = f"{name} {words(part)}"
            drawing.bar(start, upper, width=end - start, height=thick, colour=colour, tip=tip)
            done += part
        if whole is not None:
            drawing.line(axis.at(whole), upper - 3, axis.at(whole), upper + thick + 3, kind="ink", width=2)
        drawing.text(axis.at(max(done, whole or 0.0)) + 8, middle, total, kind="strong", font=13)
    return drawing.render()


def _names_width(runs: Sequence[BenchRun]) -> float:
    return 16 + min(300.0, max(text_width(run.file, 13, strong=True) for run in runs))


def _name(drawing: Drawing, run: BenchRun, middle: float) -> None:
    drawing.text(0, middle - _NAME_LINE / 2, run.file, kind="strong", font=13)
    drawing.text(0, middle + _NAME_LINE / 2 + 1, run.engine, kind="soft", font=11.5)


def _shown_until(latency: Latency) -> float:
    cumulative = np.cumsum(latency.histogram.counts) / latency.count
    last = int(np.searchsorted(cumulative, _SHOWN_SHARE))
    p99 = latency.p99.value_ms or 0.0
    return max(p99, min(latency.max_ms, _edge(latency.histogram.first_bin + last + 1)))


def _density(histogram: Histogram) -> list[tuple[float, float]]:
    """(milliseconds, height from 0 to 1) along the ridge, lightly smoothed, from zero to zero."""
    counts = np.pad(np.asarray(histogram.counts, np.float64), 2)
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    middles = [_edge(histogram.first_bin - 2 + k + 0.5) for k in range(len(smooth))]
    return list(zip(middles, (smooth / smooth.max()).tolist(), strict=True))


def _beyond(histogram: Histogram, value: float) -> int:
    return sum(n for k, n in enumerate(histogram.counts) if _edge(histogram.first_bin + k) > value)


def _edge(at: float) -> float:
    return float(10 ** (at / BINS_PER_DECADE))
