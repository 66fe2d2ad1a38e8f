"""Command-line options of task ``style``. Their defaults live in `StyleOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_style_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `StyleOptions`; each default is None: not given."""
    add_style_and_weights(parser.add_argument_group("style"))
    _add_sizes(parser.add_argument_group("pictures"))
    network = parser.add_argument_group("network")
    network.add_argument(
        "--width", type=int, metavar="N", help="channels at a picture's full size. Default: 16"
    )
    network.add_argument("--blocks", type=int, metavar="N", help="residual blocks. Default: 5")


def add_style_and_weights(group: Any) -> None:
    """Add ``--style``, ``--vgg``, and what belongs to them."""
    group.add_argument("--style", type=Path, metavar="FILE", help="the picture whose style is taken")
    group.add_argument(
        "--vgg",
        type=Path,
        metavar="FILE",
        help="weights of VGG-16's convolutions as .safetensors, named as in torchvision",
    )
    group.add_argument(
        "--style-size",
        type=int,
        metavar="PX",
        help="what the style's shorter side is resized to: larger makes larger strokes. Default: 256",
    )
    for name, what, default in (
        ("content", "what the photo shows", 1),
        ("style", "how the style is painted", 10),
        ("smooth", "few differences between neighbouring pixels", 5),
    ):
        group.add_argument(
            f"--{name}-weight", type=float, metavar="X", help=f"factor of {what}. Default: {default}"
        )


def _add_sizes(pictures: Any) -> None:
    pictures.add_argument("--crop-size", type=int, metavar="PX", help="side of training crops. Default: 256")
    pictures.add_argument(
        "--crops", type=int, metavar="N", help="random crops of the photos per epoch. Default: 2000"
    )
    pictures.add_argument(
        "--image-size",
        type=int,
        metavar="PX",
        help="side of the squares that epochs are judged on, and of pictures in .pte and .trt, which need "
        "fixed sizes. Default: 256",
    )
    pictures.add_argument(
        "--largest-px",
        type=int,
        metavar="PX",
        help="longer pictures are shrunk to it, and painted ones brought back to their size. Default: 2048",
    )
