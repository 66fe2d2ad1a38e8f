"""Network, loss and training set for one run of task ``style``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.free_image import FreeImageInput
from sdk.inputs.image import IMAGE
from sdk.outputs.picture import PICTURE, PictureOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.photo_crops import PhotoCrops
from train.networks.freezing import ParameterGroup
from train.networks.style_sizes import MULTIPLE_PX, SMALLEST_PX
from train.options import TrainOptions
from train.plan import Plan
from train.start import inherited_facts
from train.style_losses import StyleJudge, StyleWeights
from train.tasks.base import Splits
from train.tasks.style_options import StyleOptions

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def make_style_plan(
    task: str,
    options: TrainOptions,
    splits: Splits,
    start: Artifact | None,
    *,
    judge: StyleJudge,
    weights: StyleWeights,
    facts: Mapping[str, Any],
) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        options: Of the run.
        splits: Squares of photos, and the photos.
        start: Checkpoint whose spec and weights are taken as they are.
        judge: Compares what is painted with photo and style.
        weights: Of the parts of the loss.
        facts: For the checkpoint's evidence.
    """
    own: StyleOptions = options.task_options
    spec = _spec(task, options) if start is None else start.spec
    if start is None:
        network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    else:
        network = load_network(start.program())
        facts = {**inherited_facts(start, keep_zeros=options.keep_zeros), **facts}
    network = network.to(memory_format=torch.channels_last)
    return Plan(
        spec=spec,
        network=network,
        groups=[ParameterGroup("network", tuple(network.parameters()), 1.0)],
        train_set=PhotoCrops(splits.train.targets, own.crop_size, own.crops),
        weights=None,
        loss=_TrainingLoss(judge, weights),
        validation_loss=None,
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts=facts,
    )


class _TrainingLoss:
    """Loss of a training batch, and its parts."""

    def __init__(self, judge: StyleJudge, weights: StyleWeights) -> None:
        self._judge = judge
        self._weights = weights

    def __call__(self, network: nn.Module, photos: Tensor) -> dict[str, Tensor]:
        """From crops float32 (N, 3, H, W), 0..1."""
        painted = network(photos.contiguous(memory_format=torch.channels_last)).float()
        terms = self._judge.terms(painted, photos)
        return {
            "loss": terms.total(self._weights).mean(),
            "content": terms.content.mean(),
            "style": terms.style.mean(),
            "smooth": terms.smooth.mean(),
        }


def _spec(task: str, options: TrainOptions) -> Spec:
    own: StyleOptions = options.task_options
    free = Dim(SMALLEST_PX)
    shape = (Dim(), 3, free, free)
    graph = Graph(
        MAIN_GRAPH, (TensorInfo(IMAGE, "float32", shape),), (TensorInfo(PICTURE, "float32", shape),)
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=FreeImageInput(
            channels="rgb",
            size_wh=(own.image_size, own.image_size),
            resize="stretch",
            shortest_px=None,
            filter="bicubic",
            pad_colour=_BLACK,
            alpha_colour=_WHITE,
            scale=1 / 255,
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
            jpeg_scaling="full",
            views=("identity",),
            smallest_px=SMALLEST_PX,
            largest_px=own.largest_px,
            multiple_px=MULTIPLE_PX,
        ),
        output=PictureOutput("rgb"),
        graphs=(graph,),
        baked=(),
        network=Network(options.model, {"width": own.width, "blocks": own.blocks}),
    )
