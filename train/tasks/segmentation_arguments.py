"""Command-line options of task ``segmentation``. Their defaults live in `SegmentationOptions`."""

from __future__ import annotations

import argparse

from train.tasks.image_arguments import add_augment_argument, add_size_arguments, add_start_arguments

# Written out, not imported: its module loads torch, and `--help` must not.
_AUGMENTATIONS = ("none", "flip", "vertical-flip", "scale", "rotate", "colour-jitter")


def add_segmentation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `SegmentationOptions`; each default is None: not given."""
    add_start_arguments(parser.add_argument_group("where the network starts"), "COCO (Pascal VOC's classes)")
    pictures = parser.add_argument_group("pictures")
    add_size_arguments(
        pictures,
        size="192 with unet, 320 with the others",
        resize="letterbox",
        resizes=("stretch", "letterbox"),
    )
    add_augment_argument(pictures, _AUGMENTATIONS, "flip scale colour-jitter")
    parser.add_argument_group("classes").add_argument(
        "--loss",
        metavar="SUM",
        help="cross-entropy, focal (counts easy pixels less), dice (overlap of each class, however small), "
        "or a sum of them such as focal+dice. Default: cross-entropy+dice",
    )
