"""The report as text: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from sdk.bench import words
from sdk.bench.record import BenchReport
from sdk.bench.words import (
    COLD_HEADS,
    LAYER_HEADS,
    PHASE_HEADS,
    ROW_HEADS,
    TOKEN_HEADS,
    aligned,
    cold_cells,
    layer_cells,
    phase_cells,
    row_cells,
    slowest_layers,
    token_cells,
)

Table = tuple[str, Sequence[str], list[tuple[str, ...]]]


def as_text(report: BenchReport) -> str:
    """Aligned tables for a terminal."""
    parts = [
        f"{report.machine_class}\n{words.scenario_words(report.options)}; inputs: {report.inputs}; "
        f"{words.clock_words(report)}"
    ]
    for title, heads, rows in _tables(report):
        left = {ROW_HEADS: 2, LAYER_HEADS: 3}.get(tuple(heads), 1)
        parts.append(f"{title}\n{aligned(heads, rows, left)}")
    energy = [f"{run.file}: {words.energy_words(run)}" for run in report.runs if run.energy]
    if energy:
        parts.append("\n".join(["Energy", *energy]))
    notes = words.notes(report)
    if notes:
        parts.append("\n".join(["Notes", *(f"  {note}" for note in notes)]))
    return "\n\n".join(parts)


def as_markdown(report: BenchReport) -> str:
    """Tables for a pull request or a page."""
    parts = [
        f"**{_safe(words.scenario_words(report.options))}** on {_safe(report.machine_class)}. "
        f"Inputs: {_safe(report.inputs)}. Clock: {_safe(words.clock_words(report))}."
    ]
    for title, heads, rows in _tables(report):
        lines = [f"### {_safe(title)}", "", _line(heads), _line(["---"] * len(heads))]
        parts.append("\n".join([*lines, *(_line([_safe(cell) for cell in row]) for row in rows)]))
    notes = words.notes(report)
    if notes:
        parts.append("\n".join(f"- {_safe(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _tables(report: BenchReport) -> list[Table]:
    tables: list[Table] = [("Latency of one call", ROW_HEADS, [row_cells(run) for run in report.runs])]
    written = [token_cells(run, run.tokens_per_s) for run in report.runs if run.tokens_per_s]
    if written:
        tables.append(("Text, token by token", TOKEN_HEADS, written))
    phases = [phase_cells(run) for run in report.runs if run.phases]
    if phases:
        tables.append(("Phases of a typical call", PHASE_HEADS, phases))
    cold = [cold_cells(run, run.cold_start) for run in report.runs if run.cold_start]
    if cold:
        tables.append(("From the start of a process to its first result, medians", COLD_HEADS, cold))
    layers = [layer_cells(run, layer) for run, layer in slowest_layers(report)]
    if layers:
        tables.append(("The slowest layers, by each engine's own profiler", LAYER_HEADS, layers))
    return tables


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """Nothing in a name may end a cell or start markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
