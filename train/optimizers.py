"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from train.networks.freezing import ParameterGroup
from train.options import TrainOptions


def make_optimizer(options: TrainOptions, groups: Sequence[ParameterGroup]) -> Optimizer:
    """The optimiser that the options name.

    Weight decay acts on weights of two or more axes only: pulling biases and normalisation scales to zero
    costs accuracy and gains nothing (He et al. 2019, "Bag of Tricks", section 3.1). A group may
    say otherwise.

    Args:
        options: Names the optimiser, learning rate, decay and momentum.
        groups: What trains; each group's `lr_scale` multiplies the learning rate.
    """
    torch_groups = [entry for group in groups for entry in _split_decay(group, options)]
    lr, momentum = options.lr, options.effective_momentum
    if options.optimizer == "adamw":
        return AdamW(torch_groups, lr=lr)
    if options.optimizer == "adam":
        return Adam(torch_groups, lr=lr)
    if options.optimizer == "sgd":
        return SGD(torch_groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    if options.optimizer == "rmsprop":
        return RMSprop(torch_groups, lr=lr, momentum=momentum)
    raise ValueError(options.optimizer)


def _split_decay(group: ParameterGroup, options: TrainOptions) -> list[dict[str, Any]]:
    lr = options.lr * group.lr_scale
    least = 0 if group.decay_all else 2
    decayed = [parameter for parameter in group.parameters if parameter.ndim >= least]
    spared: list[nn.Parameter] = [parameter for parameter in group.parameters if parameter.ndim < least]
    both = ((decayed, options.weight_decay), (spared, 0.0))
    return [{"params": params, "lr": lr, "weight_decay": decay} for params, decay in both if params]
