"""Pictures of a training run, as PNG bytes. Drawn without a display and without global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtimes import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_LONGEST_LABEL = 18
_MOST_NUMBERED = 25
"""Beyond this many classes the numbers in the cells could not be read."""


def confusion_matrix_png(matrix: Array, labels: Sequence[str], title: str) -> bytes:
    """A confusion matrix: rows true, columns predicted; colour is the share of the row.

    Args:
        matrix: Counts, int64 (classes, classes).
        labels: A name per class.
        title: Above the picture.
    """
    from matplotlib.figure import Figure

    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    side = max(4.0, 1.8 + 0.55 * len(labels))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…" for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(labels) <= _MOST_NUMBERED:
        for row in range(len(labels)):
            for column in range(len(labels)):
                ink = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(matrix[row, column]), ha="center", va="center", color=ink, fontsize=8
                )
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    return _png(figure)


def curves_png(history: Sequence[Mapping[str, Any]], metric: str) -> bytes:
    """Loss and headline metric over the epochs.

    Args:
        history: Per epoch ``epoch``, ``train_loss``, ``val_loss`` where there is one, and the metric with
            ``val_`` and, where known, ``train_`` in front.
        metric: Name of the metric.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for split, colour in (("train", "tab:blue"), ("val", "tab:orange")):
            points = [(e["epoch"], e[f"{split}_{name}"]) for e in history if f"{split}_{name}" in e]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", ms=3, color=colour, label=split)
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return buffer.getvalue()
