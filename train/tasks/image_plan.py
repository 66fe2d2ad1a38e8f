"""Network, loss and training set for one run of a task that learns from pictures with a class each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from runtimes.torch_runtime import load_network
from sdk.artifact import Artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.kinds import OutputKind
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.augmentation import Augmentation
from train.data.image_train_set import ImageTrainSet
from train.losses import Loss, make_loss
from train.networks.freezing import freeze
from train.options import TrainOptions
from train.plan import Plan
from train.start import inherited_facts
from train.tasks.base import Split, Splits
from train.tasks.class_plan import ValidationLoss, class_losses, class_weights
from train.tasks.image_classification import COMPACT, ImageOptions
from train.tasks.picture_options import PictureOptions
from train.tasks.picture_plan import normalised, starting_network

SpecMaker = Callable[[str, ImageInput, TrainOptions, "tuple[str, ...]"], Spec]
TrainSetMaker = Callable[[Split, ImageInput, PictureOptions], ImageTrainSet]

TOP_K = 5
DEFAULT_AUGMENT = ("flip", "shift")
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
    weights = class_weights(np.asarray(splits.train.targets)) if own.weighted_sampling else None
    return replace(plan, weights=weights, validation_loss=ValidationLoss(loss))


def make_picture_plan(
    task: str,
    image_input: ImageInput,
    options: TrainOptions,
    splits: Splits,
    start: Artifact | None,
    *,
    make_spec: SpecMaker,
    loss: Callable[[nn.Module, Any], Mapping[str, Tensor]],
    make_train_set: TrainSetMaker | None = None,
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
        make_train_set: Called with the training split, input and options; None is one class a picture.

    Raises:
        DataError: A picture cannot be read.
        UsageError: Weights cannot be had, or the network cannot be built.
    """
    own: PictureOptions = options.task_options
    train_set = (make_train_set or _class_train_set)(splits.train, image_input, own)
    if start is None:
        image_input = normalised(image_input, train_set, own)
        train_set.use_input(image_input)
    spec = start.spec if start is not None else make_spec(task, image_input, options, splits.train.labels)
    network = starting_network(spec, own) if start is None else load_network(start.program())
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


def _class_train_set(train: Split, image_input: ImageInput, own: PictureOptions) -> ImageTrainSet:
    names = own.augment if own.augment is not None else DEFAULT_AUGMENT
    augmentation = Augmentation(names, image_input.size_wh, image_input.filter, image_input.channel_count)
    return ImageTrainSet(train.items, np.asarray(train.targets), image_input, augmentation)


class _TrainingLoss:
    """Loss and accuracy of a training batch."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, targets = batch
        logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        return class_losses(self._loss, logits, targets)


def _spec(task: str, image_input: ImageInput, options: TrainOptions, labels: tuple[str, ...]) -> Spec:
    output = ClassificationOutput(labels, "softmax", min(TOP_K, len(labels)), 1.0)
    return picture_spec(task, image_input, options, output=output, name=SCORES, numbers=len(labels))


def picture_spec(
    task: str, image_input: ImageInput, options: TrainOptions, *, output: OutputKind, name: str, numbers: int
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
