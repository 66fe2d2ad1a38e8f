"""The Pareto set of a search: as a table, a plot, and a file.

A candidate is in the set when no other is at least as good in accuracy drop, latency and size, and better
in one.
Latencies count as equal within what repeats of one measurement differ by, so that noise puts nothing in.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from export.gate import gain_in_words
from export.trial import Trial
from sdk.codec import to_json

if TYPE_CHECKING:
    from rich.table import Table

PARETO_VERSION = 1
COLUMNS = ("", "trial", "candidate", "drop", "latency", "ms", "size", "gain")
_ON_FRONT, _OFF_FRONT, _CHOSEN = "#2f7de1", "#b5bcc6", "#e2762b"
_DOTS_PER_INCH = 150


def pareto_set(trials: Sequence[Trial], target: str) -> list[Trial]:
    """Trials that no other dominates in one target, the fastest first."""
    goals = {}
    for trial in trials:
        figures = trial.of(target)
        if figures is not None:
            goals[trial.number] = (figures.latency_step, figures.drop, figures.size_bytes)
    front = [trial for trial in trials if trial.number in goals and not _dominated(trial.number, goals)]
    return sorted(front, key=lambda trial: (goals[trial.number], trial.number))


def _dominated(number: int, goals: Mapping[int, tuple[float, ...]]) -> bool:
    mine = goals[number]
    for other, theirs in goals.items():
        no_worse = all(a <= b for a, b in zip(theirs, mine, strict=True))
        # Of two that are equal in everything the earlier one stays.
        if no_worse and (theirs != mine or other < number):
            return True
    return False


def pareto_table(trials: Sequence[Trial], target: str, chosen: int | None) -> Table:
    """All trials of one target, those of the set first; a star marks the chosen one."""
    from rich.table import Table

    table = Table(title=f"{target}: drop, latency and size on this machine", title_justify="left")
    for column in COLUMNS:
        numeric = column in ("trial", "drop", "latency", "ms", "size")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=column != "candidate")
    front = pareto_set(trials, target)
    rest = [trial for trial in trials if trial not in front]
    for trial in [*front, *rest]:
        mark = "★" if trial.number == chosen else "●" if trial in front else ""
        table.add_row(mark, *_cells(trial, target), style=None if trial in front else "dim")
    table.caption = "● no other is better in all three  ★ chosen"
    table.caption_justify = "left"
    return table


def _cells(trial: Trial, target: str) -> tuple[str, ...]:
    figures = trial.of(target)
    if figures is None:
        return str(trial.number), trial.candidate.label, "–", "–", "–", "–", "failed"
    return (
        str(trial.number),
        trial.candidate.label,
        f"{figures.drop:+.2f}",
        f"{figures.latency.ratio:.2f}×",
        f"{figures.latency.candidate_ms:.3f}",
        f"{figures.size_bytes / 1e6:.3f} MB",
        "no gain" if figures.no_gain else gain_in_words({"gain": figures.gain}),
    )


def pareto_json(
    trials: Sequence[Trial], targets: Sequence[str], search: Mapping[str, Any], chosen: Mapping[str, Any]
) -> str:
    """The file's text: stable order of keys, no times of day. Only `latency`, and what follows from it, is
    measured anew by another search with the same seed.

    Args:
        trials: All finished ones.
        targets: Such as ``onnx``.
        search: What was searched and on what: JSON data.
        chosen: By target, what was chosen: JSON data with the trial's ``number``.
    """
    tree = {
        "version": PARETO_VERSION,
        "search": dict(search),
        "trials": [_trial_json(trial) for trial in trials],
        "targets": {
            target: {
                "pareto": [trial.number for trial in pareto_set(trials, target)],
                "chosen": chosen.get(target),
            }
            for target in targets
        },
    }
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _trial_json(trial: Trial) -> dict[str, Any]:
    tree: dict[str, Any] = to_json(trial)
    del tree["seconds"]  # says nothing about the candidate, and is another each time
    tree["figures"] = {figures["target"]: figures for figures in tree["figures"]}
    return tree


def pareto_png(
    trials: Sequence[Trial], targets: Sequence[str], chosen: Mapping[str, int], max_drop: float
) -> bytes:
    """A panel per target: drop over latency, the area of a dot its size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(targets), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, target in zip(figure.subplots(1, len(targets), squeeze=False)[0], targets, strict=True):
        _panel(axes, trials, target, chosen.get(target))
        axes.axhline(max_drop, color=_CHOSEN, linestyle="--", linewidth=1, label="largest drop allowed")
        for colour, name in (
            (_CHOSEN, "chosen"),
            (_ON_FRONT, "in the Pareto set"),
            (_OFF_FRONT, "not in it"),
        ):
            axes.scatter([], [], color=colour, label=name)
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Any, trials: Sequence[Trial], target: str, chosen: int | None) -> None:
    front = pareto_set(trials, target)
    for trial in trials:
        figures = trial.of(target)
        if figures is None:
            continue
        colour = _CHOSEN if trial.number == chosen else _ON_FRONT if trial in front else _OFF_FRONT
        at = (figures.latency.ratio, figures.drop)
        axes.scatter(*at, s=20 + 180 * figures.size_ratio, color=colour, alpha=0.75, linewidth=0, zorder=3)
        axes.hlines(figures.drop, figures.latency.low, figures.latency.high, color=colour, linewidth=1)
        axes.annotate(str(trial.number), at, xytext=(6, 5), textcoords="offset points", fontsize=8)
    axes.set_title(f"{target} (number: trial, area: size)", loc="left", fontsize=10)
    axes.set_xlabel("latency against fp32, measured in turns")
    axes.set_ylabel("drop on validation data, points")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
