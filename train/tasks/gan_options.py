"""What a run of task ``gan`` is told beside the general options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.options import require, wrong_pair

LOSSES = ("hinge", "non-saturating")
RESIZES = ("letterbox", "shortest", "stretch")
SCORED = 5000
"""Pictures that are compared with as many real ones, at most."""
FEWEST = 20
"""Fewer pictures say nothing of how pictures vary."""


@dataclass(frozen=True)
class GanOptions:
    """Options of the task.

    Attributes:
        classes: Names of the classes to learn from; None is all.
        image_size: Side of the pictures in pixels; None is that of the data.
        resize: One of `RESIZES`; None is ``letterbox`` for idx files and ``shortest`` for folders.
        augment: Names of random changes to training pictures.
        dimensions: Numbers that a picture is made from.
        width: Channels of the generator at half the picture's size.
        discriminator_width: Of the discriminator there; None is as many as the generator has.
        loss: One of `LOSSES`.
        spectral_norm: Bound the discriminator's weights; else it has batch normalisation.
        label_smoothing: By how much real pictures are less than surely real, for ``non-saturating``.
        discriminator_lr: Its learning rate; None is twice the generator's (two time scales).
        beta1: Adam's decay of the mean gradient, for both.
        r1: Weight of the discriminator's squared gradient at real pictures.
        instance_noise: Deviation of noise on all pictures at the start; falls to 0 over the run.
        features: Checkpoint whose features pictures are compared by; None is fixed random convolutions.
        score_samples: Pictures that are compared, at most.
    """

    classes: tuple[str, ...] | None = None
    image_size: int | None = None
    resize: str | None = None
    augment: tuple[str, ...] = ("none",)
    dimensions: int = 64
    width: int = 32
    discriminator_width: int | None = None
    loss: str = "hinge"
    spectral_norm: bool = True
    label_smoothing: float = 0.0
    discriminator_lr: float | None = None
    beta1: float = 0.5
    r1: float = 0.0
    instance_noise: float = 0.0
    features: Path | None = None
    score_samples: int = SCORED

    def __post_init__(self) -> None:
        for name, known in (("loss", LOSSES), ("resize", RESIZES)):
            value = getattr(self, name)
            require(f"--{name}", value, value is None or value in known, f"one of {', '.join(known)}")
        for name, least in (("dimensions", 1), ("width", 1), ("discriminator_width", 1),
                            ("score_samples", FEWEST), ("r1", 0), ("instance_noise", 0)):  # fmt: skip
            value = getattr(self, name)
            require(
                f"--{name.replace('_', '-')}", value, value is None or value >= least, f"at least {least}"
            )
        require("--label-smoothing", self.label_smoothing, 0 <= self.label_smoothing < 0.5, "0 to below 0.5")
        require("--beta1", self.beta1, 0 <= self.beta1 < 1, "from 0 to below 1")
        rate = self.discriminator_lr
        require("--discriminator-lr", rate, rate is None or rate > 0, "a positive number")
        if self.label_smoothing > 0 and self.loss != "non-saturating":
            raise wrong_pair("--label-smoothing", f"it with --loss {self.loss}", "--loss non-saturating",
                             "Leave one out: a hinge has no labels.")  # fmt: skip
        if "none" in self.augment and len(self.augment) > 1:
            raise wrong_pair("--augment", "none with others", "none alone", "Leave none out.")
