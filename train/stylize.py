"""Style transfer by optimisation: the pixels themselves are changed until the losses are small.

Gatys, Ecker and Bethge (2016), "Image style transfer using convolutional neural networks". Slower than a
network that learned a style by a factor of thousands, needs no training, and takes any style.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from runtimes import Array, UsageError
from sdk.outputs.picture import to_uint8
from train.networks.style_sizes import SMALLEST_PX
from train.options import require
from train.style_losses import StyleJudge, StyleWeights
from train.style_picture import as_tensor

METHODS = ("lbfgs", "adam")
STARTS = ("content", "noise")
_ADAM_LR = 0.02
_MEMORY = 10
"""Steps that L-BFGS remembers."""

Progress = Callable[[int, float], None]
"""Called as ``progress(step, loss)``, steps from 1."""


@dataclass(frozen=True)
class StylizeOptions:
    """How the pixels are found.

    Attributes:
        method: One of `METHODS`.
        steps: Of it.
        start: One of `STARTS`: which pixels are changed.
        seed: Of the noise.
    """

    method: str = "lbfgs"
    steps: int = 100
    start: str = "content"
    seed: int = 0

    def __post_init__(self) -> None:
        require("--method", self.method, self.method in METHODS, f"one of {', '.join(METHODS)}")
        require("--steps", self.steps, self.steps >= 1, "at least 1")
        require("--start", self.start, self.start in STARTS, f"one of {', '.join(STARTS)}")
        require("--seed", self.seed, 0 <= self.seed < 2**32, "from 0 to 4294967295")


def stylize(
    photo: Image.Image,
    judge: StyleJudge,
    weights: StyleWeights,
    options: StylizeOptions,
    progress: Progress | None = None,
) -> Array:
    """Paint one photo: uint8 (H, W, 3) of its size.

    Args:
        photo: RGB.
        judge: Knows the style.
        weights: Of the terms.
        options: Method and steps.
        progress: Told of every step.

    Raises:
        UsageError: The photo is too small, or the search diverged.
    """
    if min(photo.size) < SMALLEST_PX:
        raise UsageError(
            "Content",
            got=f"a picture of {photo.width}×{photo.height} pixels",
            expected=f"at least {SMALLEST_PX}×{SMALLEST_PX}",
            fix="Choose a larger one.",
        )
    shown = as_tensor(photo)
    with torch.no_grad():
        wanted = judge.content_of(shown)
    pixels = _first_pixels(shown, options).requires_grad_()
    optimizer = _optimizer(pixels, options.method)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = judge.terms_of(pixels, wanted).total(weights).sum()
        loss.backward()
        return loss

    for step in range(1, options.steps + 1):
        loss = float(torch.as_tensor(optimizer.step(closure)).detach())
        if loss != loss:  # noqa: PLR0124 - NaN
            raise UsageError("Option --method", got=f"{options.method}, which diverged at step {step}",
                             expected="a loss that falls", fix="Use --method adam.")  # fmt: skip
        with torch.no_grad():
            pixels.clamp_(0.0, 1.0)
        if progress is not None:
            progress(step, loss)
    painted: Array = to_uint8(pixels.detach().numpy())[0]
    return painted


def _first_pixels(shown: Tensor, options: StylizeOptions) -> Tensor:
    if options.start == "content":
        # L-BFGS looks at the pixels as one row.
        return shown.clone(memory_format=torch.contiguous_format)
    generator = torch.Generator().manual_seed(options.seed)
    return torch.rand(shown.shape, generator=generator)


def _optimizer(pixels: Tensor, method: str) -> torch.optim.Optimizer:
    if method == "adam":
        return torch.optim.Adam([pixels], lr=_ADAM_LR)
    return torch.optim.LBFGS([pixels], max_iter=1, history_size=_MEMORY, line_search_fn="strong_wolfe")
