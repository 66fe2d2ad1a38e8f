"""The trials of a search as a table for people."""

from __future__ import annotations

from rich.table import Table

from train.tune import Tuned
from train.tune_report import COLUMNS, cells_of, knob_text, value_of

MOST_ROWS = 12


def tune_table(tuned: Tuned) -> Table:
    """The best trials that ran to their end, the best first, then the others in their order."""
    from optuna.trial import TrialState

    done = [trial for trial in tuned.trials if trial.state == TrialState.COMPLETE]
    best = tuned.best
    falling = best is not None and any((t.value or 0.0) < (best.value or 0.0) for t in done)
    done.sort(key=lambda trial: trial.value or 0.0, reverse=falling)
    rest = [trial for trial in tuned.trials if trial.state != TrialState.COMPLETE]
    knobs = sorted({name for trial in tuned.trials for name in trial.params})
    table = Table(header_style="bold", title=f"study {tuned.study}", title_justify="left")
    for column in (*COLUMNS, tuned.metric, *knobs):
        table.add_column(column, justify="left" if column == "state" else "right")
    shown = [*done, *rest][:MOST_ROWS]
    for trial in shown:
        style = None if trial.state == TrialState.COMPLETE else "dim"
        values = (knob_text(trial.params[name]) if name in trial.params else "" for name in knobs)
        table.add_row(*cells_of(trial), value_of(trial), *values, style=style)
    if len(shown) < len(tuned.trials):
        table.caption = f"and {len(tuned.trials) - len(shown)} more in tune.html"
    return table
