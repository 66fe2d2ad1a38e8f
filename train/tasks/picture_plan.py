"""Parts of a plan that every task on pictures shares: the normalisation, and the network's first weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from runtimes import DataError, UsageError
from runtimes.torch_runtime import build_network
from sdk.inputs.image import ImageInput
from sdk.spec import Spec
from train.data.image_train_set import ImageTrainSet
from train.networks.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_torchvision_weights,
    load_weights_file,
)
from train.tasks.picture_options import PictureOptions

_STATISTICS_PICTURES = 2000
_SMALLEST_STD = 1e-3
"""Below this all pictures are of one colour, and dividing by it would blow up noise."""


def normalised(image_input: ImageInput, train_set: ImageTrainSet, own: PictureOptions) -> ImageInput:
    """Mean and deviation: what pretrained weights expect, else what the training pictures have.

    Raises:
        DataError: All pictures are of one colour.
    """
    if own.pretrained:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if image_input.channel_count == 1:
            mean, std = (float(np.mean(mean)),), (float(np.mean(std)),)
    else:
        mean, std = train_set.pixel_statistics(_STATISTICS_PICTURES)
        if min(std) < _SMALLEST_STD:
            raise DataError(
                "Training pictures",
                got="the same colour everywhere",
                expected="pictures that differ",
                fix="Check that the files hold what they should.",
            )
    # Six digits say all that is known, and make a spec that people can read.
    return replace(image_input, mean=tuple(round(m, 6) for m in mean), std=tuple(round(s, 6) for s in std))


def starting_network(spec: Spec, own: PictureOptions) -> nn.Module:
    """The network of a spec with the weights that the options name, fresh ones where they name none.

    Raises:
        UsageError: It cannot be built, gives another kind of answer than the spec says, or the weights
            cannot be had.
    """
    network: nn.Module = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    require_answer(network, spec)
    if own.pretrained:
        load_torchvision_weights(network, spec.network.name)
    elif own.weights is not None:
        load_weights_file(network, own.weights)
    return network


def require_answer(network: nn.Module, spec: Spec) -> None:
    """Refuse a network of another task: a classifier where maps are asked for, or the reverse.

    Raises:
        UsageError: Its outputs have other shapes than the spec's graph.
    """
    graph = spec.graph()
    inputs = [torch.zeros(1, *info.shape[1:]) for info in graph.inputs]
    was_training = network.training
    with torch.no_grad():
        answer = network.eval()(*inputs)
    network.train(was_training)
    outputs = answer if isinstance(answer, (tuple, list)) else (answer,)
    got = [tuple(output.shape[1:]) for output in outputs]
    wanted = [tuple(info.shape[1:]) for info in graph.outputs]
    if got != wanted:
        raise UsageError(
            "Option --model",
            got=f"{spec.network.name}, whose answer is {got} for each picture",
            expected=f"{wanted}, which task {spec.task} reads",
            fix=f"Choose another; see edgewright train {spec.task} --help.",
        )
