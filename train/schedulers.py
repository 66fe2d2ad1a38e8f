"""Learning-rate schedules by name. All but ``plateau`` advance with every optimiser step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from train.options import TrainOptions

PLATEAU_PATIENCE_EPOCHS = 3
CYCLE_FLOOR = 0.01
"""Lowest learning rate of ``cyclic`` as a factor of the highest."""
WARMUP_FLOOR = 0.01
"""First learning rate of ``warmup-cosine`` as a factor of the highest."""


def make_scheduler(
    options: TrainOptions, optimizer: Optimizer, steps_per_epoch: int, mode: str
) -> LRScheduler | ReduceLROnPlateau | None:
    """The schedule that the options name; None for ``none``.

    Args:
        options: Names the schedule; `lr_step_epochs`, `lr_gamma` and `warmup` shape some of them.
        optimizer: Its groups hold their highest learning rate.
        steps_per_epoch: Optimiser steps, not batches.
        mode: ``max`` or ``min``: where the validation metric should go, for ``plateau``.
    """
    total = max(2, steps_per_epoch * options.epochs)
    period = max(1, round(options.lr_step_epochs * steps_per_epoch))
    name = options.scheduler
    if name == "none":
        return None
    if name == "step":
        return StepLR(optimizer, period, options.lr_gamma)
    if name == "exponential":
        return ExponentialLR(optimizer, options.lr_gamma ** (1.0 / period))
    if name == "cosine":
        return CosineAnnealingLR(optimizer, total)
    if name == "plateau":
        return ReduceLROnPlateau(optimizer, mode, options.lr_gamma, PLATEAU_PATIENCE_EPOCHS)
    highest = [group["lr"] for group in optimizer.param_groups]
    if name == "cyclic":
        floors = [CYCLE_FLOOR * lr for lr in highest]
        # Adam's betas are left alone: cycling momentum is for SGD (Smith 2017, "Cyclical Learning Rates").
        return CyclicLR(optimizer, floors, highest, max(1, period // 2), cycle_momentum=False)
    if name == "one-cycle":
        # One more step than there are: Lightning advances the schedule after the last one, too.
        cycled = options.optimizer in ("adam", "adamw") or options.effective_momentum > 0
        # In fewer than two steps it cannot rise: torch would divide by their number, less one.
        rising = max(options.warmup, 2 / (total + 1))
        return OneCycleLR(optimizer, highest, total_steps=total + 1, pct_start=rising, cycle_momentum=cycled)
    if name == "warmup-cosine":
        return LambdaLR(optimizer, _WarmupCosine(round(options.warmup * total), total))
    raise ValueError(name)


class _WarmupCosine:
    """Linear from `WARMUP_FLOOR` to 1, then half a cosine to 0 (Loshchilov & Hutter 2017, equation 5)."""

    def __init__(self, warmup_steps: int, total_steps: int) -> None:
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: int) -> float:
        """Factor on the learning rate at an optimiser step."""
        if step < self.warmup_steps:
            return WARMUP_FLOOR + (1.0 - WARMUP_FLOOR) * step / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
