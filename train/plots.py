"""Pictures of a training run, as PNG bytes. Drawn without a display and without global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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
    return png_of(figure)


def reliability_png(confidences: Array, right: Array, title: str, bins: int = 10) -> bytes:
    """A reliability diagram: how often answers are right, by how sure they are.

    Args:
        confidences: Probability of each answer, (N,).
        right: Whether it is right, bool (N,).
        title: Above the picture.
        bins: Of equal width.
    """
    from matplotlib.figure import Figure

    which = np.minimum((confidences * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    there = counts > 0
    sure = np.bincount(which, confidences, bins)[there] / counts[there]
    accuracy = np.bincount(which, right, bins)[there] / counts[there]
    figure = Figure(figsize=(5.0, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    centres = (np.flatnonzero(there) + 0.5) / bins
    upper.bar(centres, accuracy, 1 / bins, color="tab:blue", edgecolor="white", label="share that is right")
    upper.plot(sure, accuracy, "o", color="tab:orange", ms=5, label="at the mean probability of the bin")
    upper.plot((0, 1), (0, 1), "--", color="grey", lw=1, label="as often right as it says")
    upper.set(ylabel="share that is right", title=title, xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left", fontsize=8)
    lower.bar(centres, counts[there], 1 / bins, color="lightsteelblue", edgecolor="white")
    lower.set(xlabel="probability of the answer", ylabel="answers")
    return png_of(figure)


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
    return png_of(figure)


def precision_recall_png(curves: Mapping[str, tuple[Array, Array]], title: str) -> bytes:
    """Precision over recall.

    Args:
        curves: Recall and precision, float (n,) each, by name.
        title: Above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, (recall, precision) in curves.items():
        axes.plot(recall, precision, lw=1.5, label=name[:_LONGEST_LABEL])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """A finished figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return buffer.getvalue()
