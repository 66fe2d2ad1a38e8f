"""The page that gives one input to all artifacts of a model, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import gradio as gr

from demos.pages.agreement import Agreement, agreement
from demos.pages.card import badge, precision
from demos.pages.fields import field_for
from demos.pages.frame import Html, live, table
from demos.pages.subject import LeftOut, Opened, Subject
from sdk.bench.words import ms, size

CALLS, FEWEST_CALLS, ENOUGH_S = 9, 3, 4.0
"""Timed calls of each artifact; fewer once so many seconds have passed."""
_NOTABLE = 1.1
"""How many times faster or slower is worth a word, of so few calls."""
_NOTE = (
    "One input, every artifact. Latency is the median of {calls} whole calls, from the item to the typed "
    "answer, the artifacts taking turns after one call each to warm up; for figures to rely on, run "
    "`edgewright compare` or `edgewright bench`. Agreement is with the first row, on this input; "
    "the proof is what the file says of its whole test split."
)
_HEADS = ("Artifact", "Answer", "Agreement", "Proof", "Precision", "Size", "Median ms")


class Row(NamedTuple):
    """What one artifact did with the input."""

    opened: Opened
    result: Any
    latency_ms: float
    calls: int


def build(subject: Subject, folder: Path) -> None:
    """Put the comparison of the artifacts of `subject` where the app is being built."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2):
            field = field_for(subject, folder)
            go = gr.Button("Compare", variant="primary")
        with gr.Column(scale=3):
            field.offer_examples()
            note = gr.Markdown(_NOTE.format(calls=CALLS), elem_classes="ew-took")
    shown = gr.HTML(_table(subject, []))
    pictures = gr.Gallery(
        label="Answers side by side",
        columns=3,
        elem_classes="ew-beside",
        height="auto",
        object_fit="contain",
        format="png",
        buttons=["fullscreen", "download"],
        visible=False,
    )

    def answer(value: Any) -> tuple[str, str, Any]:
        item = field.item(value)
        if item is None:
            return _NOTE.format(calls=CALLS), _table(subject, []), gr.Gallery(visible=False)
        rows = measured(subject.opened, item)
        drawn = [(row.result.plot(), row.opened.label) for row in rows if hasattr(row.result, "plot")]
        return _NOTE.format(calls=rows[0].calls), _table(subject, rows), gr.Gallery(drawn, visible=True)

    events = [go.click]
    if not isinstance(field.component, gr.Textbox):
        events.append(field.component.change)
    live(events, answer, [field.component], [note, shown, pictures])


def measured(several: Sequence[Opened], item: Any) -> list[Row]:
    """Every artifact's answer to one item, and the median of its latency over calls in turns.

    Args:
        several: The artifacts.
        item: As `Predictor.predict` takes it.

    Raises:
        InputError: The item cannot be used.
    """
    results = [each.predictor.predict(item) for each in several]
    times: list[list[float]] = [[] for _ in several]
    begin = time.perf_counter()
    for number in range(CALLS):
        if number >= FEWEST_CALLS and time.perf_counter() - begin > ENOUGH_S:
            break
        for each, spent in zip(several, times, strict=True):
            before = time.perf_counter()
            each.predictor.predict(item)
            spent.append((time.perf_counter() - before) * 1e3)
    found = zip(several, results, times, strict=True)
    return [Row(each, result, median(spent), len(spent)) for each, result, spent in found]


def _table(subject: Subject, rows: list[Row]) -> str:
    slowest = max((row.latency_ms for row in rows), default=1.0)
    if rows:
        cells = [_cells(row, rows[0], slowest) for row in rows]
    else:
        cells = [_about(each, "–", "–", "–") for each in subject.opened]
    return table(_HEADS, cells + [_not_run(each) for each in subject.left_out], numbers=5)


def _cells(row: Row, first: Row, slowest: float) -> tuple[Any, ...]:
    held = Agreement(True, "the reference") if row is first else agreement(row.result, first.result)
    agrees = escape(held.words) if held.same else f'<span class="ew-differs">{escape(held.words)}</span>'
    ratio = first.latency_ms / row.latency_ms
    beside = "" if row is first else f"<small>{_times(ratio)}</small>"
    bar = f'<i class="ew-bar" style="width:{row.latency_ms / slowest:.1%}"></i>'
    return _about(row.opened, row.result.summary(), Html(agrees), Html(f"{ms(row.latency_ms)}{beside}{bar}"))


def _times(ratio: float) -> str:
    if max(ratio, 1 / ratio) < _NOTABLE:
        return "about as fast"
    return f"{ratio:.1f}× as fast" if ratio >= 1 else f"{1 / ratio:.1f}× as slow"


def _about(each: Opened | LeftOut, answer: Any, agrees: Any, latency: Any) -> tuple[Any, ...]:
    artifact = each.artifact
    engine = each.predictor.runtime.name if isinstance(each, Opened) else "not run here"
    parity = artifact.manifest.evidence.parity
    proof = f"<small>{parity.agreement:.2%} of {parity.samples:,} the same</small>" if parity else ""
    return (
        Html(f"<b>{escape(each.label)}</b><small>{escape(engine)}</small>"),
        answer,
        agrees,
        Html(badge(artifact) + proof),
        precision(artifact),
        size(artifact.size_bytes),
        latency,
    )


def _not_run(each: LeftOut) -> tuple[Any, ...]:
    return _about(each, Html(f'<span class="ew-soft">{escape(each.reason)}</span>'), "–", "–")
