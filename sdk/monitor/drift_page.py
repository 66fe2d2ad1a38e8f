"""The drift report as one HTML page that needs nothing beside itself, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from runtimes import Array
from sdk.bench.page import page_style
from sdk.bench.svg import Axis, Drawing, tick_text
from sdk.monitor.drift import DRIFT, STABLE, DriftReport, FeatureDrift
from sdk.monitor.reference import NumberReference, Reference, Row, WordReference, columns_of
from sdk.monitor.statistics import category_counts, p_words

_THEN, _NOW = "#8b96a5", "#e2762b"
_CHARTS = 8
_BINS = 24
_WORDS_SHOWN = 10
_WIDE, _HALF = 1000.0, 490.0


def drift_page(
    report: DriftReport, reference: Reference, rows: Sequence[Row], course: Sequence[DriftReport] = ()
) -> str:
    """The page.

    Args:
        report: Of the whole window.
        reference: What it was compared with.
        rows: The window's features.
        course: Reports of consecutive parts of the log, oldest first, for how it came about.
    """
    parts = [_tiles(report)]
    if len(course) > 1:
        parts.append(_section("How it came about", _COURSE_NOTE, _course(course, report)))
    parts.append(_section("Every feature", _TABLE_NOTE, _table(report)))
    columns = columns_of(rows)
    known: Mapping[str, NumberReference | WordReference] = {**reference.numbers, **reference.words}
    charts = [_chart(f, known[f.name], columns[f.name]) for f in report.features[:_CHARTS]]
    parts += [f'<div class="pair">{"".join(charts[at : at + 2])}</div>' for at in range(0, len(charts), 2)]
    parts.append(_section("How it was measured", "", _method(report)))
    return _PAGE.format(
        style=page_style(),
        title=escape(report.model or report.version),
        heading=escape(_heading(report)),
        lead=escape(_lead(report)),
        body="\n".join(parts),
    )


def _heading(report: DriftReport) -> str:
    name = report.model or "The model"
    if report.status == DRIFT:
        return f"{name}: {len(report.drifted)} of {len(report.features)} features have drifted"
    return f"{name}: no drift" if report.status == STABLE else f"{name}: too few rows to tell"


def _lead(report: DriftReport) -> str:
    span = f", {report.from_utc} to {report.until_utc}" if report.from_utc else ""
    return (
        f"{report.rows:,} predictions of version {report.version or 'unknown'}{span}, "
        f"compared with the {report.split!r} data that the artifact was proved on."
    )


def _tiles(report: DriftReport) -> str:
    found = [
        (report.status, "verdict"),
        (f"{len(report.drifted)} of {len(report.features)}", "features drifted"),
        (f"{report.rows:,}", f"predictions; at least {report.limits.fewest:,} are needed"),
    ]
    if report.features:
        worst = max(report.features, key=lambda feature: feature.psi)
        found.append((f"{worst.psi:.3f}", f"largest PSI: {worst.name}"))
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span></div>' for value, text in found
    )
    return f'<div class="tiles">{tiles}</div>'


def _table(report: DriftReport) -> str:
    heads = "".join(
        f'<th scope="col" class="{"number" if 0 < at < 5 else ""}">{head}</th>'
        for at, head in enumerate(("Feature", "PSI", "KS distance", "p, corrected", "Values", ""))
    )
    rows = "".join(_table_row(feature) for feature in report.features)
    notes = (
        f'<p class="note">Not on both sides: {escape(", ".join(report.unknown))}.</p>'
        if report.unknown
        else ""
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll">{table}</div>{notes}'


def _table_row(feature: FeatureDrift) -> str:
    badge = '<span class="badge bad">drift</span>' if feature.drifted else '<span class="badge good">–</span>'
    distance = "–" if feature.distance is None else f"{feature.distance:.3f}"
    cells = (f"{feature.psi:.3f}", distance, escape(p_words(feature.p_value)), f"{feature.rows:,}")
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f"<tr><td><code>{escape(feature.name)}</code></td>{numbers}<td>{badge}</td></tr>"


def _chart(
    feature: FeatureDrift, reference: NumberReference | WordReference, column: Sequence[float | str]
) -> str:
    title = f"{feature.name}: then and now"
    if isinstance(reference, WordReference):
        drawing = _bars(title, reference, [str(value) for value in column])
    else:
        values = np.array([value for value in column if not isinstance(value, str)], np.float32)
        drawing = _histogram(title, reference.values(), values)
    note = f"PSI {feature.psi:.3f}" + (", drifted" if feature.drifted else "")
    return _section(feature.name, note, drawing)


def _histogram(title: str, then: Array, found: Array) -> str:
    low, high = (float(f(np.concatenate([then, found]))) for f in (np.min, np.max))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(sample, edges)[0] / len(sample) for sample in (then, found)]
    drawing = Drawing(_HALF, 220, title)
    across, top = Axis(low, high, 8, _HALF - 8), max(float(part.max()) for part in shares)
    drawing.legend(8, 10, [(_THEN, "reference"), (_NOW, "window")])
    for part, colour in zip(shares, (_THEN, _NOW), strict=True):
        points = [(across.at(low), 180.0)]
        for at, share in enumerate(part):
            y = 180 - 145 * float(share) / top
            points += [(across.at(float(edges[at])), y), (across.at(float(edges[at + 1])), y)]
        drawing.area([*points, (across.at(high), 180.0)], 180, colour)
    for tick in across.ticks(6):
        drawing.line(across.at(tick), 180, across.at(tick), 185, kind="soft")
        drawing.text(across.at(tick), 198, tick_text(tick), kind="soft", anchor="middle")
    return drawing.render()


def _bars(title: str, reference: WordReference, words: Sequence[str]) -> str:
    tally = reference.tally(words)
    expected, found = category_counts(reference.counts, tally)
    names = sorted({*reference.counts, *tally})
    p, q = expected / max(1.0, expected.sum()), found / max(1.0, found.sum())
    order = sorted(range(len(names)), key=lambda at: -max(p[at], q[at]))[:_WORDS_SHOWN]
    drawing = Drawing(_HALF, 34 + 30.0 * len(order), title)
    across = Axis(0.0, float(max(p.max(), q.max())), 150, _HALF - 60)
    drawing.legend(8, 10, [(_THEN, "reference"), (_NOW, "window")])
    for row, at in enumerate(order):
        y = 30 + 30.0 * row
        name = names[at] or "(nothing)"
        drawing.text(140, y + 11, name if len(name) <= 20 else f"{name[:19]}…", anchor="end")
        for place, (share, colour) in enumerate(((p[at], _THEN), (q[at], _NOW))):
            width = across.at(float(share)) - 150
            drawing.bar(150, y + 11 * place, width=width, height=10, colour=colour, tip=f"{share:.1%}")
        drawing.text(across.at(float(max(p[at], q[at]))) + 8, y + 10, f"{q[at]:.1%}", kind="soft")
    return drawing.render()


def _course(course: Sequence[DriftReport], whole: DriftReport) -> str:
    """The largest indices over time, with the limit."""
    names = [feature.name for feature in whole.features[:4]]
    drawing = Drawing(_WIDE, 250, "Population stability index over time")
    lines = {
        name: [next((f.psi for f in part.features if f.name == name), 0.0) for part in course]
        for name in names
    }
    limit = whole.limits.psi
    most = 1.08 * max(limit, *(value for line in lines.values() for value in line))
    across, up = Axis(0.0, len(course) - 1.0, 44, _WIDE - 12), Axis(0.0, most, 205, 30)
    colours = ("#e2762b", "#2f7de1", "#4f9d3a", "#a35bc4")
    drawing.legend(44, 10, list(zip(colours, names, strict=False)))
    for tick in up.ticks(4):
        drawing.line(44, up.at(tick), _WIDE - 12, up.at(tick))
        drawing.text(36, up.at(tick), tick_text(tick), kind="soft", anchor="end")
    drawing.line(44, up.at(limit), _WIDE - 12, up.at(limit), kind="ink", width=1.4)
    drawing.text(_WIDE - 12, up.at(limit) - 9, f"limit {limit:g}", kind="soft", anchor="end")
    for colour, line in zip(colours, lines.values(), strict=False):
        points = [(across.at(float(at)), up.at(value)) for at, value in enumerate(line)]
        drawing.steps(points, colour)
        for (x, y), value in zip(points, line, strict=True):
            drawing.dot(x, y, 3.6, colour, f"PSI {value:.3f}")
    for at in (0, len(course) - 1):
        when = course[at].from_utc if at == 0 else course[at].until_utc
        anchor = "start" if at == 0 else "end"
        drawing.text(across.at(float(at)), 228, when or "", kind="soft", anchor=anchor)
    return drawing.render()


def _method(report: DriftReport) -> str:
    limits = report.limits
    points = (
        "Population stability index over the reference's deciles; of words, over the categories. 0 where "
        "both are alike; 0.1 to 0.2 is usually looked at, more is acted on.",
        "Two-sample Kolmogorov–Smirnov test for numbers, chi-square for words; p-values are multiplied by "
        f"the number of features ({len(report.features)}).",
        f"A feature has drifted when its PSI is at least {limits.psi:g} and its corrected p at most "
        f"{limits.significance:g}.",
        "The tests take predictions to be independent: a window shorter than a day or a week may only show "
        "which hour or weekday it is.",
    )
    return f'<ul class="notes">{"".join(f"<li>{escape(point)}</li>" for point in points)}</ul>'


def _section(title: str, note: str, body: str) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


_COURSE_NOTE = "Consecutive parts of the log, and the features that stand out in the whole window."
_TABLE_NOTE = "Drifted ones first, then by the population stability index."
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edgewright drift: {title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Edgewright drift report</p>
<h1>{heading}</h1>
<p class="lead">{lead}</p>
</header>
{body}
<footer>Written by <code>edgewright monitor drift</code>. The log holds no pictures, texts or series.</footer>
</main>
</body>
</html>
"""
