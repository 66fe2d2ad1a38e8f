"""Network, loss and training set for one run of a task that learns from pictures with a class each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Array, DataError, Dim, TensorInfo
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.kinds import OutputKind
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.augmentation import Augmentation
from train.data.image_train_set import ImageTrainSet
from train.losses import Loss, make_loss
from train.networks.freezing import freeze
from train.networks.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_torchvision_weights,
    load_weights_file,
)
from train.options import TrainOptions
from train.plan import Plan
from train.start import inherited_facts
from train.tasks.base import Splits
from train.tasks.image_classification import COMPACT, ImageOptions, PictureOptions

SpecMaker = Callable[[str, ImageInput, TrainOptions, "tuple[str, ...]"], Spec]

TOP_K = 5
DEFAULT_AUGMENT = ("flip", "shift")
_STATISTICS_PICTURES = 2000
_SMALLEST_STD = 1e-3
"""Below this all pictures are of one colour, and dividing by it would blow up noise."""
_FINAL_SIDE_PX = 4
"""`compact_cnn` halves a picture until it is about this large."""


def make_image_plan(
    task: str, image_input: ImageInput, options: TrainOptions, splits: Splits, start: Artifact | None = None
) -> Plan:
    """Put one run of a classifier together; see `make_picture_plan`."""
    own: ImageOptions = options.task_options
    loss = make_loss(own.loss, own.label_smoothing)
    plan = make_picture_plan(
        task, image_input, options, splits, start, make_spec=_spec, loss=_TrainingLoss(loss)
    )
    weights = _class_weights(np.asarray(splits.train.targets)) if own.weighted_sampling else None
    return replace(plan, weights=weights, validation_loss=_ValidationLoss(loss))


def make_picture_plan(
    task: str,
    image_input: ImageInput,
    options: TrainOptions,
    splits: Splits,
    start: Artifact | None,
    *,
    make_spec: SpecMaker,
    loss: Callable[[nn.Module, Any], Mapping[str, Tensor]],
) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        image_input: How pictures are fed; mean and standard deviation are filled in here.
        options: Of the run; their own part is a `PictureOptions`.
        splits: The data.
        start: Checkpoint whose spec and weights are taken as they are.
        make_spec: Called with task, input, options and labels where there is no `start`.
        loss: `Plan.loss`.

    Raises:
        DataError: A picture cannot be read.
        UsageError: Weights cannot be had, or the network cannot be built.
    """
    own: PictureOptions = options.task_options
    train = splits.train
    names = own.augment if own.augment is not None else DEFAULT_AUGMENT
    augmentation = Augmentation(names, image_input.size_wh, image_input.filter, image_input.channel_count)
    train_set = ImageTrainSet(train.items, np.asarray(train.targets), image_input, augmentation)
    if start is None:
        image_input = _normalised(image_input, train_set, own)
        train_set.use_input(image_input)
    spec = start.spec if start is not None else make_spec(task, image_input, options, train.labels)
    network = _network(spec, options) if start is None else load_network(start.program())
    # oneDNN's and cuDNN's convolutions are up to twice as fast in this layout; the numbers are the same.
    network = network.to(memory_format=torch.channels_last)
    return Plan(
        spec=spec,
        network=network,
        groups=freeze(network, own.freeze),
        train_set=train_set,
        weights=None,
        loss=loss,
        validation_loss=None,
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={} if start is None else inherited_facts(start, keep_zeros=options.keep_zeros),
    )


class _TrainingLoss:
    """Loss and accuracy of a training batch."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, targets = batch
        logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        return {
            "loss": self._loss(logits, targets),
            "accuracy": (logits.argmax(dim=1) == targets).float().mean(),
        }


class _ValidationLoss:
    """Loss of a validation batch from its raw outputs."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, outputs: Mapping[str, Tensor], targets: Sequence[Any]) -> Tensor:
        logits = outputs[SCORES]
        return self._loss(logits, torch.tensor(np.asarray(targets), device=logits.device))


def _normalised(image_input: ImageInput, train_set: ImageTrainSet, own: PictureOptions) -> ImageInput:
    """Mean and deviation: what pretrained weights expect, else what the training pictures have."""
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


def _spec(task: str, image_input: ImageInput, options: TrainOptions, labels: tuple[str, ...]) -> Spec:
    output = ClassificationOutput(labels, "softmax", min(TOP_K, len(labels)), 1.0)
    return picture_spec(task, image_input, options, output, SCORES, len(labels))


def picture_spec(
    task: str, image_input: ImageInput, options: TrainOptions, output: OutputKind, name: str, numbers: int
) -> Spec:
    """The spec of a network from a picture to a row of numbers.

    Args:
        task: Name of the task; also that of the spec.
        image_input: How pictures are fed.
        options: Of the run.
        output: How the numbers are read.
        name: Of the graph's output.
        numbers: In a row.
    """
    width, height = image_input.size_wh
    channels = image_input.channel_count
    arguments: dict[str, Any] = {"channels": channels, "classes": numbers}
    if options.model == COMPACT:
        arguments["stages"] = max(1, round(np.log2(max(width, height) / _FINAL_SIDE_PX)))
    graph = Graph(
        MAIN_GRAPH,
        (TensorInfo(IMAGE, "float32", (Dim(), channels, height, width)),),
        (TensorInfo(name, "float32", (Dim(), numbers)),),
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=image_input,
        output=output,
        graphs=(graph,),
        baked=(),
        network=Network(options.model, arguments),
    )


def _network(spec: Spec, options: TrainOptions) -> nn.Module:
    own: PictureOptions = options.task_options
    network: nn.Module = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    if own.pretrained:
        load_torchvision_weights(network, options.model)
    elif own.weights is not None:
        load_weights_file(network, own.weights)
    return network


def _class_weights(targets: Array) -> Array:
    """A weight per item with which every class is drawn equally often."""
    return 1.0 / np.bincount(targets)[targets].astype(np.float64)
