"""A moving average of the weights: what is judged and kept in place of the weights of a single step."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_EARLY = 10
"""After n steps the decay is at most ``(1 + n) / (10 + n)``: a start from fresh weights is soon forgotten, as
in TensorFlow's `ExponentialMovingAverage` with ``num_updates``."""


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of `network` whose ``update_parameters(network)`` moves it towards that network's weights.

    After each step ``average = d * average + (1 - d) * weights``, with batch statistics averaged alike
    (Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", exponentially).

    Args:
        network: Stays as it is.
        decay: Largest d, 0..1.
    """

    def average(before: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
        count = int(steps)
        weight = min(decay, (1 + count) / (_EARLY + count))
        return before + (now - before) * (1 - weight)

    averaged = AveragedModel(network, avg_fn=average, use_buffers=True)
    # No gradient will come: processes that train together would wait for it.
    return averaged.requires_grad_(False)
