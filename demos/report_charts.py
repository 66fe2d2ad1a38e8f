"""The report's charts: SVG that takes its ink from the page, so that it fits light and dark alike."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from demos.summary import Row
from sdk.bench.charts import ENGINE_COLOURS, OTHER_COLOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _SOFT, _LINE = "#010203", "#040506", "#070809"
_FROM_PAGE = {_INK: "var(--ink)", _SOFT: "var(--soft)", _LINE: "var(--line)"}
_TRAIN, _VALIDATION = "#e2762b", "#2f7de1"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgewright",  # equal data, equal file
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "legend.frameon": False,
}


def latency_chart(rows: Sequence[Row]) -> str:
    """Horizontal bars: the median of each artifact that was run, with a line to its p90."""
    timed = [
        (row, row.median_ms, row.latency.p90.value_ms or row.median_ms)
        for row in reversed(rows)
        if row.latency and row.median_ms
    ]
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 0.8 + 0.56 * len(timed)), layout="constrained")
        axes = figure.add_subplot()
        for at, (row, median_ms, p90_ms) in enumerate(timed):
            colour = ENGINE_COLOURS.get(row.engine, OTHER_COLOUR)
            axes.barh(at, median_ms, height=0.58, color=colour)
            axes.plot([median_ms, p90_ms], [at, at], color=_INK, linewidth=1.6)
            axes.annotate(
                f"{median_ms:.3f} ms",
                (p90_ms, at),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                color=_INK,
                fontweight="bold",
            )
        axes.set_yticks(range(len(timed)), [f"{row.file}\n{row.engine}" for row, *_ in timed])
        axes.tick_params(axis="y", length=0, colors=_INK)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 1.3 * max(p90_ms for *_, p90_ms in timed))
        axes.set_xlabel("ms per prediction; the line ends at p90")
        return _svg(figure, "Latency of one prediction by artifact")


def curves_chart(history: Sequence[Mapping[str, float]]) -> str:
    """Loss and accuracy by epoch.

    Args:
        history: Per epoch ``epoch`` (from 1), and ``loss`` and ``accuracy`` with ``train_`` or ``val_``
            in front, as far as they were measured.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 2.5), layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        for axes, quantity, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
            for split, colour, name in (("train", _TRAIN, "training"), ("val", _VALIDATION, "validation")):
                points = [
                    (e["epoch"], factor * e[key]) for e in history if (key := f"{split}_{quantity}") in e
                ]
                if points:
                    axes.plot(*zip(*points, strict=True), "o-", color=colour, lw=2, ms=3.5, label=name)
        loss.set_title("Loss")
        loss.legend()
        accuracy.set_title("Accuracy, %")
        for axes in (loss, accuracy):
            axes.set_xlabel("epoch")
            axes.set_xlim(0.5, len(history) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, "Training curves")


def _svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` element without fixed size and colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    for placeholder, variable in _FROM_PAGE.items():
        text = text.replace(placeholder, variable)
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Text takes the page's font; matplotlib would name its own.
    body = re.sub(r"font: ([^;\"]*?)(\d+(?:\.\d+)?px)[^;\"]*", r"font: \1\2 system-ui, sans-serif", body)
    head, _, rest = body.partition(">")
    head = re.sub(r'\s(?:width|height|xmlns(?::\w+)?|version)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{title}">{rest.strip()}'
