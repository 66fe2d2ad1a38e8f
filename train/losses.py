"""Classification losses by name."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

LOSSES = ("cross-entropy", "focal")
FOCAL_GAMMA = 2.0
"""The paper's best value (Lin et al. 2017, table 1b)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, classes) and class indices int64 (N,) to a scalar mean."""


def make_loss(name: str, label_smoothing: float) -> Loss:
    """A loss by name.

    Args:
        name: One of `LOSSES`.
        label_smoothing: Share of the target spread evenly over all classes; for cross-entropy.
    """
    if name == "focal":
        return focal_loss

    def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)

    return cross_entropy


def focal_loss(logits: Tensor, targets: Tensor, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Focal loss for one class out of many: the mean of ``-(1 - p)^gamma * log p`` of the true class.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, with softmax in place of the
    sigmoid; torchvision's `sigmoid_focal_loss` is for independent labels only.

    Args:
        logits: (N, classes).
        targets: Class indices, int64 (N,).
        gamma: How strongly easy samples count less; 0 is cross-entropy.
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]
    return -(((1.0 - log_p.exp()) ** gamma) * log_p).mean()
