"""What a search leaves in its folder: ``tune.json``, pictures, and a page that shows both."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from sdk.atomic_write import atomic_write
from sdk.bench.page import page_style
from train.tune_plots import history_png, knobs_png
from train.tune_study import FAILURE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from train.tune import Tuned

REPORT_VERSION = 1
JSON_FILE, PAGE_FILE, HISTORY_FILE, KNOBS_FILE = "tune.json", "tune.html", "history.png", "options.png"
_STATES = {"COMPLETE": "done", "PRUNED": "stopped early", "FAIL": "failed", "RUNNING": "running",
           "WAITING": "waiting"}  # fmt: skip
COLUMNS = ("trial", "state", "epochs", "s")


def write_report(tuned: Tuned, mode: str, knobs: Sequence[str]) -> None:
    """Write all of it. Several processes may do so; each writes whole files.

    Args:
        tuned: What was found.
        mode: ``max`` or ``min``.
        knobs: What was searched.
    """
    history = history_png(tuned.trials, tuned.metric, mode)
    options = knobs_png(tuned.trials, knobs, tuned.metric, tuned.best)
    atomic_write(tuned.out / HISTORY_FILE, history)
    atomic_write(tuned.out / KNOBS_FILE, options)
    atomic_write(tuned.out / JSON_FILE, json.dumps(_tree(tuned, mode), indent=2))
    atomic_write(tuned.out / PAGE_FILE, _page(tuned, knobs, (history, options)))


def cells_of(trial: FrozenTrial) -> tuple[str, ...]:
    """Number, state, epochs and seconds of a trial, as in `COLUMNS`."""
    begun, ended = trial.datetime_start, trial.datetime_complete
    seconds = "" if begun is None or ended is None else f"{(ended - begun).total_seconds():.0f}"
    return str(trial.number + 1), state_of(trial), str(len(trial.intermediate_values)), seconds


def state_of(trial: FrozenTrial) -> str:
    """For people."""
    return _STATES[trial.state.name]


def value_of(trial: FrozenTrial) -> str:
    """For people: the headline metric, or why there is none."""
    if trial.value is None:
        return str(trial.user_attrs.get(FAILURE, "–"))
    return f"{trial.value:.4f}"


def knob_text(value: Any) -> str:
    """A knob's value for people."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tree(tuned: Tuned, mode: str) -> dict[str, Any]:
    best = tuned.best
    return {
        "version": REPORT_VERSION,
        "study": tuned.study,
        "metric": tuned.metric,
        "mode": mode,
        "best": None
        if best is None
        else {
            "trial": best.number + 1,
            "value": best.value,
            "options": best.params,
            "command": tuned.command,
            "checkpoint": None
            if tuned.checkpoint is None
            else tuned.checkpoint.relative_to(tuned.out).as_posix(),
        },
        "trials": [
            {
                "trial": trial.number + 1,
                "state": state_of(trial),
                "value": trial.value,
                "options": trial.params,
                "steps": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
                "failure": trial.user_attrs.get(FAILURE),
            }
            for trial in tuned.trials
        ],
    }


def _page(tuned: Tuned, knobs: Sequence[str], pictures: Sequence[bytes]) -> str:
    best = tuned.best
    found = "No trial has run to its end." if best is None else (
        f"Best {tuned.metric} {best.value:.4f}, trial {best.number + 1} of {len(tuned.trials)}."
    )  # fmt: skip
    heads = "".join(f"<th>{escape(name)}</th>" for name in (*COLUMNS, tuned.metric, *knobs))
    rows = "".join(_row(trial, trial is best, knobs) for trial in tuned.trials)
    images = "".join(
        f'<section><img alt="{alt}" style="max-width:100%" src="data:image/png;base64,'
        f'{base64.b64encode(picture).decode()}"></section>'
        for alt, picture in zip(("trials over time", "value by option"), pictures, strict=True)
    )
    command = f"<section><h2>To train so again</h2><pre>{escape(tuned.command)}</pre></section>"
    return _PAGE.format(
        style=page_style(),
        study=escape(tuned.study),
        lead=escape(found),
        command=command if tuned.command else "",
        images=images,
        heads=heads,
        rows=rows,
    )


def _row(trial: FrozenTrial, is_best: bool, knobs: Sequence[str]) -> str:
    cells = (*cells_of(trial), value_of(trial), *(knob_text(trial.params.get(name, "")) for name in knobs))
    mark = ' style="font-weight:600"' if is_best else ""
    return f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Search: {study}</title><style>{style}</style></head>
<body><main><header><p class="kicker">Edgewright</p><h1>Search {study}</h1><p class="lead">{lead}</p></header>
{command}{images}
<section><h2>Every trial</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></section></main></body></html>
"""
