"""Command-line options of task ``gan``. Their defaults live in `GanOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from train.tasks.image_arguments import add_augment_argument

# Written out, not imported: their modules load torch, and `--help` must not.
_LOSSES = ("hinge", "non-saturating")
_RESIZES = ("letterbox", "shortest", "stretch")
_AUGMENTATIONS = ("none", "flip", "vertical-flip", "shift", "colour-jitter")


def add_gan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `GanOptions`; each default is None: not given."""
    _add_pictures(parser.add_argument_group("pictures"))
    _add_networks(parser.add_argument_group("the two networks"))
    _add_stabilisers(parser.add_argument_group("stability"))
    _add_score(parser.add_argument_group("the score"))


def _add_pictures(group: Any) -> None:
    group.add_argument(
        "--classes", nargs="+", metavar="NAME", help="learn from the pictures of these classes. Default: all"
    )
    group.add_argument(
        "--image-size",
        type=int,
        metavar="PX",
        help="side of the pictures: 4, 5, 6 or 7 doubled a few times, such as 28, 32 or 64. "
        "Default: that of idx files, 64 for folders",
    )
    group.add_argument(
        "--resize", choices=_RESIZES, help="default: letterbox for idx files, shortest for folders"
    )
    add_augment_argument(group, _AUGMENTATIONS, "none: what is done to real pictures is learned, too")


def _add_networks(group: Any) -> None:
    group.add_argument(
        "--dimensions", type=int, metavar="N", help="numbers that a picture is made from. Default: 64"
    )
    group.add_argument(
        "--width",
        type=int,
        metavar="N",
        help="channels of the generator at half the picture's size, more where it is smaller. Default: 32",
    )
    group.add_argument(
        "--discriminator-width",
        type=int,
        metavar="N",
        help="channels of the discriminator there. Default: as many as the generator has",
    )


def _add_stabilisers(group: Any) -> None:
    group.add_argument("--loss", choices=_LOSSES, help="default: hinge")
    group.add_argument(
        "--spectral-norm",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="bound the discriminator's weights by their largest singular value, or give it batch "
        "normalisation instead. Default: bound them",
    )
    group.add_argument(
        "--label-smoothing",
        type=float,
        metavar="SHARE",
        help="with non-saturating: real pictures are only so much less than surely real. Default: 0",
    )
    group.add_argument(
        "--discriminator-lr",
        type=float,
        metavar="RATE",
        help="its learning rate (two time scales). Default: twice the generator's",
    )
    group.add_argument(
        "--beta1", type=float, metavar="X", help="Adam's decay of the mean gradient, for both. Default: 0.5"
    )
    group.add_argument(
        "--r1",
        type=float,
        metavar="X",
        help="weight of the discriminator's squared gradient at real pictures, such as 1. Default: 0",
    )
    group.add_argument(
        "--instance-noise",
        type=float,
        metavar="X",
        help="deviation of noise on all pictures the discriminator sees, falling to 0 over the run, such as "
        "0.1. Default: 0",
    )


def _add_score(group: Any) -> None:
    group.add_argument(
        "--features",
        type=Path,
        metavar="CHECKPOINT",
        help="compare pictures by what the head of this network is given: a checkpoint of task product, "
        "embedding or the like. Default: convolutions with fixed random weights",
    )
    group.add_argument(
        "--score-samples",
        type=int,
        metavar="N",
        help="pictures that are compared with as many real ones, at most. Default: 5000",
    )
