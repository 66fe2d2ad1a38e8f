"""Training that keeps a sparse network sparse."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from runtimes import UsageError


class KeepZeros(Callback):
    """Weights that are zero at the start are zero after every optimiser step.

    Args:
        network: With its starting weights.

    Raises:
        UsageError: No weight is zero.
    """

    def __init__(self, network: nn.Module) -> None:
        self._kept: dict[str, Tensor] = {
            name: parameter.detach() != 0
            for name, parameter in network.named_parameters()
            if parameter.ndim > 1 and bool((parameter == 0).any())
        }
        if not self._kept:
            raise UsageError(
                "Option --keep-zeros",
                got="a start without a zero among its weights",
                expected="a checkpoint that was made sparse",
                fix="Leave it out, or make one with `edgewright prune --pattern l1`.",
            )

    def on_train_batch_end(self, _trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Put the zeros back: momentum and decay move weights whose gradient is masked, too."""
        parameters = dict(pl_module.network.named_parameters())
        with torch.no_grad():
            for name, kept in self._kept.items():
                parameters[name].mul_(kept.to(parameters[name].device))
