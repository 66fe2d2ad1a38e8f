"""Pictures of a search, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from train.plots import png_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_DONE, _STOPPED, _BEST = "tab:blue", "#b5bcc6", "tab:orange"
_SIDE = 3.0
_ACROSS = 4
_WIDE_RATIO = 20.0
"""Values that span more than this are drawn on a logarithmic axis."""


def history_png(trials: Sequence[FrozenTrial], metric: str, mode: str) -> bytes:
    """Every trial's value with the best so far, and the course of each over its epochs or folds.

    Args:
        trials: In their order.
        metric: Name of the headline metric.
        mode: ``max`` or ``min``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    values, courses = figure.subplots(1, 2)
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    stopped = [trial for trial in trials if trial.state.name == "PRUNED" and trial.value is not None]
    for some, colour, name in ((done, _DONE, "done"), (stopped, _STOPPED, "stopped early")):
        if some:
            points = [trial.number + 1 for trial in some], [trial.value for trial in some]
            values.scatter(*points, s=22, color=colour, label=name)
    if done:
        best = (np.maximum if mode == "max" else np.minimum).accumulate([trial.value for trial in done])
        numbers = [trial.number + 1 for trial in done]
        values.step(numbers, best, where="post", color=_BEST, label="best so far")
        values.legend(fontsize=8)
    values.set(xlabel="trial", ylabel=metric, title="trials")
    for trial in trials:
        steps = sorted(trial.intermediate_values.items())
        if steps:
            whole = trial.state.name == "COMPLETE"
            courses.plot(*zip(*steps, strict=True), lw=1.2, marker="o", ms=2,
                         color=_DONE if whole else _STOPPED, alpha=0.8)  # fmt: skip
    courses.set(xlabel="epoch or fold", ylabel=metric, title="courses")
    for axes in (values, courses):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return png_of(figure)


def knobs_png(
    trials: Sequence[FrozenTrial], knobs: Sequence[str], metric: str, best: FrozenTrial | None
) -> bytes:
    """A panel for each knob: value of the trials over what they tried.

    Args:
        trials: In their order.
        knobs: Names of what was searched.
        metric: Name of the headline metric.
        best: Marked; None where there is none.
    """
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(knobs))
    down = -(-len(knobs) // across)
    figure = Figure(figsize=(max(4.0, _SIDE * across), _SIDE * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, name in zip(panels, knobs, strict=False):
        _panel(axes, trials, name, best)
        axes.set(xlabel=name, ylabel=metric)
        axes.grid(alpha=0.3)
    for axes in panels[len(knobs) :]:
        axes.set_visible(False)
    return png_of(figure)


def _panel(axes: Any, trials: Sequence[FrozenTrial], name: str, best: FrozenTrial | None) -> None:
    told = [trial for trial in trials if trial.value is not None and name in trial.params]
    tried = [trial.params[name] for trial in told]
    if not told:
        return
    if any(isinstance(value, str) for value in tried):
        known = sorted(set(tried), key=str)
        axes.set_xticks(range(len(known)), known)
        tried = [known.index(value) for value in tried]
        axes.set_xlim(-0.5, len(known) - 0.5)
    elif min(tried) > 0 and max(tried) / min(tried) > _WIDE_RATIO:
        axes.set_xscale("log")
    colours = [
        _BEST if best is not None and trial.number == best.number
        else _DONE if trial.state.name == "COMPLETE" else _STOPPED
        for trial in told
    ]  # fmt: skip
    axes.scatter(tried, [trial.value for trial in told], s=22, c=colours)
