"""What is said of a trained segmentation network beyond its metrics."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from runtimes import Array
from sdk.results.segmentation_picture import overlay
from train.plots import confusion_matrix_png
from train.segmentation_metrics import figures_by_region, mean_iou
from train.tasks.base import Report, Split

WORST = 6
"""Pictures that are shown."""
_TILE_PX, _GAP_PX, _PAPER = 256, 8, (255, 255, 255)


def make_segmentation_report(results: Sequence[Any], split: Split, confusions: Array) -> Report:
    """IoU and Dice per class, the confusion matrix in per cent, and the worst pictures.

    Args:
        results: A `Segmentation` per picture.
        split: With the truth.
        confusions: Of every picture, int64 (N, classes, classes).
    """
    matrix = confusions.sum(axis=0)
    regions = figures_by_region(matrix, split.labels)
    shares = np.rint(100 * matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)).astype(np.int64)
    title = (
        f"{split.name}: {len(split):,} pictures, mean IoU {float(mean_iou(matrix)):.2%}; per cent of pixels"
    )
    pictures = {"confusion_matrix.png": confusion_matrix_png(shares, split.labels, title)}
    if all(result.source is not None for result in results):
        pictures["worst.png"] = worst_png(results, split, mean_iou(confusions))
    return Report(
        figures={
            "labels": list(split.labels),
            "classes": [region.to_dict() for region in regions],
            "confusion_matrix": matrix.tolist(),
        },
        columns=("class", "IoU", "Dice", "pixels"),
        rows=tuple((r.label, f"{r.iou:.1%}", f"{r.dice:.1%}", f"{r.pixels:,}") for r in regions),
        pictures=pictures,
    )


def worst_png(results: Sequence[Any], split: Split, scores: Array) -> bytes:
    """The pictures with the lowest scores in rows: as they are, with their truth, with the answer.

    Args:
        results: With their sources.
        split: With the truth.
        scores: One per picture, float64 (N,).
    """
    rows = np.argsort(scores, kind="stable")[:WORST].tolist()
    strips = [_strip(results[row], split.targets[row], len(split.labels)) for row in rows]
    heights = [strip.height + _GAP_PX for strip in strips]
    sheet = Image.new("RGB", (strips[0].width, sum(heights)), _PAPER)
    for at, strip in enumerate(strips):
        sheet.paste(strip, (0, sum(heights[:at])))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _strip(result: Any, truth: Array, classes: int) -> Image.Image:
    """One picture as it is, with its truth, and with the answer, side by side."""
    picture = np.asarray(result.source.convert("RGB").resize(result.size_wh))
    tiles = (picture, overlay(picture, truth, classes), overlay(picture, result.mask, classes))
    ratio = _TILE_PX / max(result.size_wh)
    size = (max(1, round(result.size_wh[0] * ratio)), max(1, round(result.size_wh[1] * ratio)))
    strip = Image.new("RGB", (3 * _TILE_PX + 2 * _GAP_PX, size[1]), _PAPER)
    for column, tile in enumerate(tiles):
        strip.paste(Image.fromarray(tile).resize(size), (column * (_TILE_PX + _GAP_PX), 0))
    return strip
