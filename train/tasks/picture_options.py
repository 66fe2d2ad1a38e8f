"""Options and checks that tasks on pictures share: where the network starts, and how it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes import UsageError
from train.options import TrainOptions, flag_of, require, wrong_pair


@dataclass(frozen=True)
class PictureOptions:
    """Options of tasks that learn from pictures, whatever they learn of them.

    Attributes:
        augment: Names of random changes to training pictures; None is the task's choice.
        pretrained: Start from torchvision's weights.
        weights: Start from this `.safetensors` file.
        freeze: One of `train.networks.freezing.STRATEGIES`.
        image_size: Side of the network's square input in pixels; None is the data's or network's own.
        resize: ``stretch``, ``letterbox`` or ``shortest``; None is the data's choice.
        jpeg_scaling: ``full`` or ``reduced``; None is ``full``: then a picture has one answer, whether it
            comes as a JPEG file or as the array that somebody else decoded from it.
        tta: Views of each picture beside itself whose answers are averaged: ``mirror``, ``flip``, ``turn``.
    """

    augment: tuple[str, ...] | None = None
    pretrained: bool = False
    weights: Path | None = None
    freeze: str = "none"
    image_size: int | None = None
    resize: str | None = None
    jpeg_scaling: str | None = None
    tta: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = self.image_size
        require("--image-size", size, size is None or size >= 8, "at least 8 pixels")
        if self.pretrained and self.weights is not None:
            raise wrong_pair("--pretrained and --weights", "both", "one of them", "Leave one out.")
        if self.augment is not None and "none" in self.augment and len(self.augment) > 1:
            raise wrong_pair("--augment", "none with others", "none alone", "Leave none out.")


def check_start(options: TrainOptions, pretrained: Sequence[str]) -> TrainOptions:
    """The options, unless where the network starts contradicts the rest of them.

    Args:
        options: Their task's own are `PictureOptions`.
        pretrained: Networks that torchvision has weights for.

    Raises:
        UsageError: They do.
    """
    own: PictureOptions = options.task_options
    if options.start is not None:
        _require_nothing_beside_start(own)
    fresh = not own.pretrained and own.weights is None and options.start is None
    if fresh and own.freeze in ("head-only", "last-blocks"):
        raise wrong_pair(
            "--freeze", f"{own.freeze} with fresh weights", "--pretrained, --weights or --from",
            "Frozen stages must have learned something: add one of the three.",
        )  # fmt: skip
    if own.pretrained and options.model not in pretrained:
        raise UsageError("Option --pretrained", got=f"it for {options.model}",
                         expected=f"a --model of {', '.join(pretrained)}",
                         fix="Choose one, or pass --weights FILE.safetensors.")  # fmt: skip
    return options


def _require_nothing_beside_start(own: PictureOptions) -> None:
    for name in ("pretrained", "weights", "image_size", "resize", "jpeg_scaling", "tta"):
        if getattr(own, name) not in (None, False, ()):
            raise wrong_pair(
                f"--from and {flag_of(name)}", "both", "one of them",
                "The checkpoint says how pictures are fed and holds the weights.",
            )  # fmt: skip
