"""Network, loss and training set for one run of task ``segmentation``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from sdk.artifact import Artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.outputs.segmentation import LOGITS, SegmentationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.mask_augmentation import JointAugmentation
from train.data.mask_train_set import MaskTrainSet, mask_input, place_mask
from train.data.masks import IGNORED
from train.losses import Loss
from train.networks.unet import DEFAULT_DEPTH, DEFAULT_WIDTH
from train.options import TrainOptions
from train.plan import Plan
from train.segmentation_losses import make_segmentation_loss
from train.tasks.base import Split, Splits
from train.tasks.image_plan import make_picture_plan
from train.tasks.picture_options import PictureOptions
from train.tasks.segmentation import UNET

DEFAULT_AUGMENT = ("flip", "scale", "colour-jitter")


def make_segmentation_plan(
    task: str, image_input: ImageInput, options: TrainOptions, splits: Splits, start: Artifact | None = None
) -> Plan:
    """Put one run together; see `make_picture_plan`."""
    loss = make_segmentation_loss(options.task_options.loss)
    plan = make_picture_plan(
        task,
        image_input,
        options,
        splits,
        start,
        make_spec=_spec,
        loss=_TrainingLoss(loss),
        make_train_set=_train_set,
    )
    return replace(plan, validation_loss=_ValidationLoss(loss, image_input))


class _TrainingLoss:
    """Loss and pixel accuracy of a training batch."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, masks = batch
        logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        counted = masks != IGNORED
        right = ((logits.argmax(dim=1) == masks) & counted).sum() / counted.sum().clamp(min=1)
        return {"loss": self._loss(logits, masks), "pixel_accuracy": right}


class _ValidationLoss:
    """Loss of a validation batch from its raw outputs, at the size of the network's input."""

    def __init__(self, loss: Loss, image_input: ImageInput) -> None:
        self._loss = loss
        self._placing = mask_input(image_input)

    def __call__(self, outputs: Mapping[str, Tensor], targets: Sequence[Any]) -> Tensor:
        logits = outputs[LOGITS]
        masks = np.stack([place_mask(mask, self._placing) for mask in targets])
        return self._loss(logits, torch.from_numpy(masks).long().to(logits.device))


def _train_set(train: Split, image_input: ImageInput, own: PictureOptions) -> MaskTrainSet:
    names = own.augment if own.augment is not None else DEFAULT_AUGMENT
    augmentation = JointAugmentation(names, image_input.pad_colour)
    return MaskTrainSet(train.items, train.targets, image_input, augmentation)


def _spec(task: str, image_input: ImageInput, options: TrainOptions, labels: tuple[str, ...]) -> Spec:
    width, height = image_input.size_wh
    channels = image_input.channel_count
    arguments: dict[str, Any] = {"channels": channels, "classes": len(labels)}
    if options.model == UNET:
        # Written, so that a checkpoint outlives another default.
        arguments |= {"width": DEFAULT_WIDTH, "depth": DEFAULT_DEPTH}
    graph = Graph(
        MAIN_GRAPH,
        (TensorInfo(IMAGE, "float32", (Dim(), channels, height, width)),),
        (TensorInfo(LOGITS, "float32", (Dim(), len(labels), height, width)),),
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=image_input,
        output=SegmentationOutput(labels, "softmax"),
        graphs=(graph,),
        baked=(),
        network=Network(options.model, arguments),
    )
