"""Options of the tasks that learn from pictures with a class each. Their defaults live in `ImageOptions`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

# Written out, not imported: their modules load torch, and `--help` must not.
_LOSSES = ("cross-entropy", "focal")
_STRATEGIES = ("none", "head-only", "last-blocks", "discriminative")
_VIEWS = ("mirror", "flip", "turn")
_RESIZES = {
    "stretch": "stretch",
    "letterbox": "letterbox: fit inside, pad",
    "shortest": "shortest: shortest side to 8/7 of the size, then cut the centre",
}
_AUGMENTATIONS = ("none", "flip", "vertical-flip", "shift", "resized-crop", "colour-jitter")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ImageOptions`; each default is None: not given."""
    add_picture_arguments(parser)
    _add_classes(parser.add_argument_group("classes"))


def add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `EmbeddingOptions`; each default is None: not given."""
    add_picture_arguments(parser)
    learned = parser.add_argument_group("what is learned")
    learned.add_argument(
        "--loss",
        metavar="SUM",
        help="of triplet (batch-hard), centre and cross-entropy, with + between them. "
        "Default: triplet+cross-entropy",
    )
    learned.add_argument("--dimensions", type=int, metavar="N", help="numbers in a vector. Default: 64")
    learned.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="of triplet: by how much pictures of another class shall be farther away, on a scale from 0 to "
        "2. Default: 0.2",
    )
    learned.add_argument("--centre-weight", type=float, metavar="X", help="factor on centre. Default: 0.1")
    learned.add_argument(
        "--items-per-class",
        type=int,
        metavar="N",
        help="pictures of each class in a batch, at least. Default: 8",
    )


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `PictureOptions`; each default is None: not given."""
    add_start_arguments(parser.add_argument_group("where the network starts"), "ImageNet")
    pictures = parser.add_argument_group("pictures")
    add_size_arguments(
        pictures,
        size="the pictures' own for idx files; for folders 64 with compact_cnn and 224 with the others",
        resize="letterbox for idx files, shortest for folders",
    )
    _add_views(pictures)
    add_augment_argument(pictures, _AUGMENTATIONS, "flip shift")


def add_start_arguments(start: Any, learned_from: str) -> None:
    """Add ``--pretrained``, ``--weights`` and ``--freeze``.

    Args:
        start: The group.
        learned_from: Data that torchvision's weights were trained on.
    """
    start.add_argument(
        "--pretrained",
        action="store_true",
        default=None,
        help=f"torchvision's {learned_from} weights, from torch's cache or the internet",
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


def add_size_arguments(
    pictures: Any, *, size: str, resize: str, resizes: tuple[str, ...] = tuple(_RESIZES)
) -> None:
    """Add ``--image-size``, ``--resize`` and ``--jpeg-scaling``.

    Args:
        pictures: The group.
        size: What the default size is.
        resize: What the default rule is.
        resizes: The rules to choose from.
    """
    pictures.add_argument(
        "--image-size", type=int, metavar="PX", help=f"side of the network's input. Default: {size}"
    )
    rules = "; ".join(_RESIZES[name] for name in resizes)
    pictures.add_argument("--resize", choices=resizes, help=f"{rules}. Default: {resize}")
    pictures.add_argument(
        "--jpeg-scaling",
        choices=("full", "reduced"),
        help="reduced: large JPEG files are decoded at 1/2, 1/4 or 1/8, still twice as large as needed, in "
        "0.15 to 0.6 of the time; see docs/preprocessing.md. Default: full",
    )


def add_augment_argument(pictures: Any, names: tuple[str, ...], default: str) -> None:
    """Add ``--augment``, which takes any of `names`."""
    pictures.add_argument(
        "--augment",
        nargs="+",
        choices=names,
        metavar="HOW",
        help=f"random changes to training pictures, any of: {', '.join(names)}. Default: {default}",
    )


def _add_views(pictures: Any) -> None:
    pictures.add_argument(
        "--tta",
        nargs="+",
        choices=_VIEWS,
        metavar="VIEW",
        help="test-time augmentation: show the network these views of each picture beside the picture "
        f"itself, in one batch, and average its answers; any of: {', '.join(_VIEWS)}. The spec says so: "
        "every runtime does it. Default: none",
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
