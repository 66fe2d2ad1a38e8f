"""Losses and sampling weights of every plan that learns one class per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtimes import Array
from sdk.outputs.classification import SCORES
from train.losses import Loss


def class_losses(loss: Loss, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Loss and accuracy of a training batch.

    Args:
        loss: From logits and targets to a scalar.
        logits: float32 (N, classes).
        targets: Class indices, int64 (N,).
    """
    return {
        "loss": loss(logits, targets),
        "accuracy": (logits.argmax(dim=1) == targets).float().mean(),
    }


class ValidationLoss:
    """Loss of a validation batch from its raw outputs."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, outputs: Mapping[str, Tensor], targets: Sequence[Any]) -> Tensor:
        """The loss, a scalar."""
        logits = outputs[SCORES]
        return self._loss(logits, torch.tensor(np.asarray(targets), device=logits.device))


def class_weights(targets: Array) -> Array:
    """A weight per item with which every class is drawn equally often: float64 (N,)."""
    return 1.0 / np.bincount(targets)[targets].astype(np.float64)
