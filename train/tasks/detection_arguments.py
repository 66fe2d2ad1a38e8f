"""Command-line options of the task ``detection``. Their defaults live in `DetectionOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Written out, not imported: their modules load torch, and `--help` must not.
_STRATEGIES = ("none", "head-only", "last-blocks", "discriminative")
_AUGMENTATIONS = (
    "none",
    "mosaic",
    "scale",
    "flip",
    "vertical-flip",
    "turn",
    "colour-jitter",
    "multi-scale",
)


def add_detection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `DetectionOptions`; each default is None: not given."""
    _add_start(parser.add_argument_group("where the network starts"))
    _add_pictures(parser.add_argument_group("pictures"))
    _add_boxes(parser.add_argument_group("boxes"))


def _add_start(start: Any) -> None:
    start.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="learned weights as .safetensors: what import-darknet or an earlier run wrote, whose network "
        "and preprocessing are taken over, or a plain state dict of --model; other classes get a new head",
    )
    start.add_argument(
        "--freeze",
        choices=_STRATEGIES,
        help="with learned weights: train the head only; the head and the last two stages; or everything, "
        "earlier stages slower (discriminative). Default: none",
    )


def _add_pictures(pictures: Any) -> None:
    pictures.add_argument(
        "--image-size",
        type=int,
        metavar="PX",
        help="side of the network's input, a multiple of 32; small things need more of it. Default: that of "
        "--weights, else 416 (YOLOv3), 320 or 640 (Faster R-CNN)",
    )
    pictures.add_argument(
        "--augment",
        nargs="+",
        choices=_AUGMENTATIONS,
        metavar="HOW",
        help=f"random changes to training pictures, any of: {', '.join(_AUGMENTATIONS)}. turn is by "
        "quarters, for pictures taken from above; multi-scale gives each batch a size of its own. "
        "Default: mosaic scale flip colour-jitter multi-scale",
    )


def _add_boxes(boxes: Any) -> None:
    boxes.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class names, one a line, for a set that has none. Default: the set's own, else numbers",
    )
    boxes.add_argument(
        "--anchors",
        metavar="HOW",
        help="kmeans: the shapes of the training boxes, clustered; keep: those of --weights; or a file with "
        "a width and a height in pixels of the network's input per line. Default: kmeans",
    )
    boxes.add_argument(
        "--match-iou",
        type=float,
        metavar="X",
        help="anchors that overlap an object's shape by more than this learn it beside the likest one; 1: "
        "none do, as in the paper. Default: 0.4",
    )
    boxes.add_argument(
        "--score-threshold",
        type=float,
        metavar="X",
        help="lowest score that predict shows. Default: where F1 is highest on the validation pictures",
    )
    boxes.add_argument(
        "--iou-threshold",
        type=float,
        metavar="X",
        help="of two boxes of a class that overlap more than this, the worse one goes. Default: 0.45",
    )
