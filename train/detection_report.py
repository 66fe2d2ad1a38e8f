"""What is said about a detector beyond its headline figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from runtimes import Array
from train.detection_metrics import ClassMatches, average_precisions, best_point, match, pooled
from train.plots import precision_recall_png
from train.tasks.base import Report, Split

MOST_CURVES = 10
"""Classes drawn beside the curve of all together: those with most boxes."""


def make_report(results: Sequence[Any], split: Split) -> Report:
    """Average precision, and precision and recall at the threshold with the best F1, per class.

    Args:
        results: `Detections` with low scores among them.
        split: With its truth.
    """
    matches = match(results, split.targets, len(split.labels))
    table = average_precisions(matches)
    overall = best_point(pooled(matches))
    rows, classes = [], []
    for label, one, precisions in zip(split.labels, matches, table, strict=True):
        boxes = int(one.truths.sum())
        if not boxes:
            continue
        precision, recall = _at(one, overall.threshold)
        figures = {"label": label, "ap50": float(precisions[0]), "ap50_95": float(precisions.mean()),
                   "precision": precision, "recall": recall, "boxes": boxes}  # fmt: skip
        classes.append(figures)
        shown = (f"{figures[key]:.1%}" for key in ("ap50", "ap50_95", "precision", "recall"))
        rows.append((label, *shown, f"{boxes:,}"))
    title = f"{split.name}: {len(split):,} pictures, mAP50 {np.nanmean(table[:, 0]):.1%}"
    return Report(
        figures={"labels": list(split.labels), "classes": classes, "best_f1": asdict(overall)},
        columns=("class", "AP50", "AP50-95", f"precision at {overall.threshold:.2f}", "recall", "boxes"),
        rows=tuple(rows),
        pictures={"precision_recall.png": precision_recall_png(_curves(matches, split.labels), title)},
    )


def _at(matches: ClassMatches, threshold: float) -> tuple[float, float]:
    """Precision and recall of one class at an overlap of one half with a threshold on the score."""
    kept = int((matches.scores >= threshold).sum())
    if not kept:
        return 0.0, 0.0
    precision, recall = matches.curves(np.ones(len(matches.truths)))
    return float(precision[0, kept - 1]), float(recall[0, kept - 1])


def _curves(matches: Sequence[ClassMatches], labels: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Recall and precision at an overlap of one half: of all, and of the most frequent classes."""
    drawn = {"all": pooled(matches)} if len(labels) > 1 else {}
    counts = [int(one.truths.sum()) for one in matches]
    for at in sorted(range(len(labels)), key=lambda at: -counts[at])[:MOST_CURVES]:
        if counts[at]:
            drawn[labels[at]] = matches[at]
    found = {}
    for name, one in drawn.items():
        precision, recall = one.curves(np.ones(len(one.truths)))
        found[name] = recall[0], precision[0]
    return found
