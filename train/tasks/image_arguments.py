"""Command-line options of the tasks that learn from pictures with a class each. Defaults live in their options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Written out, not imported: their modules load torch, and `--help` must not.
_LOSSES = ("cross-entropy", "focal")
_STRATEGIES = ("none", "head-only", "last-blocks", "discriminative")
_VIEWS = ("mirror", "flip", "turn")
_AUGMENTATIONS = ("none", "flip", "vertical-flip", "shift", "resized-crop", "colour-jitter")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ImageOptions`; each default is None: not given."""
    add_picture_arguments(parser)
    _add_classes(parser.add_argument_group("classes"))


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `PictureOptions`; each default is None: not given."""
    _add_start(parser.add_argument_group("where the network starts"))
    _add_pictures(parser.add_argument_group("pictures"))


def _add_start(start: Any) -> None:
    start.add_argument(
        "--pretrained",
        action="store_true",
        default=None,
        help="torchvision's ImageNet weights, from torch's cache or the internet",
    )
    start.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of the same network, as .safetensors"
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
        help="side of the network's input. Default: the pictures' own for idx files; for folders 64 with "
        "compact_cnn and 224 with the others",
    )
    pictures.add_argument(
        "--resize",
        choices=("stretch", "letterbox", "shortest"),
        help="stretch; letterbox: fit inside, pad; shortest: shortest side to 8/7 of the size, then cut the "
        "centre. Default: letterbox for idx files, shortest for folders",
    )
    pictures.add_argument(
        "--jpeg-scaling",
        choices=("full", "reduced"),
        help="reduced: large JPEG files are decoded at 1/2, 1/4 or 1/8, still twice as large as needed, in "
        "0.15 to 0.6 of the time; see docs/preprocessing.md. Default: full",
    )
    pictures.add_argument(
        "--tta",
        nargs="+",
        choices=_VIEWS,
        metavar="VIEW",
        help="test-time augmentation: show the network these views of each picture beside the picture "
        f"itself, in one batch, and average its answers; any of: {', '.join(_VIEWS)}. It stands in the spec, "
        "so every runtime does it. Default: none",
    )
    pictures.add_argument(
        "--augment",
        nargs="+",
        choices=_AUGMENTATIONS,
        metavar="HOW",
        help=f"random changes to training pictures, any of: {', '.join(_AUGMENTATIONS)}. Default: flip shift",
    )


def _add_classes(classes: Any) -> None:
    classes.add_argument(
        "--loss", choices=_LOSSES, help="focal counts easy pictures less. Default: cross-entropy"
    )
    classes.add_argument(
        "--label-smoothing",
        type=float,
        metavar="SHARE",
        help="of the target, spread over all classes. Default: 0",
    )
    classes.add_argument(
        "--weighted-sampling",
        action="store_true",
        default=None,
        help="draw every class equally often, for sets where some are rare",
    )
