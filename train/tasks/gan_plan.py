"""Both networks, losses and training set for one run of task ``gan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from runtimes.torch_runtime import build_network
from sdk.inputs.image import ImageInput
from sdk.inputs.noise import NOISE, NoiseInput
from sdk.outputs.picture import PICTURE, PictureOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.augmentation import Augmentation
from train.data.image_train_set import ImageTrainSet
from train.gan_losses import AdversarialLoss
from train.gan_module import GanModule
from train.networks.dcgan import build_discriminator
from train.networks.freezing import ParameterGroup
from train.options import TrainOptions
from train.plan import Plan
from train.tasks.base import Splits
from train.tasks.gan_options import GanOptions


def make_gan_plan(
    task: str, image_input: ImageInput, options: TrainOptions, splits: Splits, facts: Mapping[str, Any]
) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        image_input: Brings real pictures to the generator's size.
        options: Of the run.
        splits: Seeds, and real pictures.
        facts: For the checkpoint's evidence.
    """
    own: GanOptions = options.task_options
    spec = _spec(task, image_input, options)
    network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    side = image_input.size_wh[0]
    discriminator = build_discriminator(
        image_input.channel_count, side, own.discriminator_width or own.width, spectral=own.spectral_norm
    )
    # In this layout the convolutions of oneDNN take two thirds of the time (28×28, batches of 64).
    network, discriminator = (each.to(memory_format=torch.channels_last) for each in (network, discriminator))
    loss = AdversarialLoss(
        discriminator,
        dimensions=own.dimensions,
        loss=own.loss,
        label_smoothing=own.label_smoothing,
        r1=own.r1,
        instance_noise=own.instance_noise,
    )
    real = splits.train.targets
    augmentation = Augmentation(
        own.augment, image_input.size_wh, image_input.filter, image_input.channel_count
    )
    return Plan(
        spec=spec,
        network=network,
        groups=[ParameterGroup("generator", tuple(network.parameters()), 1.0)],
        train_set=ImageTrainSet(real, np.zeros(len(real), np.int64), image_input, augmentation),
        weights=None,
        loss=loss,  # type: ignore[arg-type]  # called by `GanModule` alone
        validation_loss=None,
        splits=splits,
        module=GanModule,
        facts=facts,
    )


def _spec(task: str, image_input: ImageInput, options: TrainOptions) -> Spec:
    own: GanOptions = options.task_options
    side, channels = image_input.size_wh[0], image_input.channel_count
    graph = Graph(
        MAIN_GRAPH,
        (TensorInfo(NOISE, "float32", (Dim(), own.dimensions)),),
        (TensorInfo(PICTURE, "float32", (Dim(), channels, side, side)),),
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=NoiseInput(own.dimensions),
        output=PictureOutput(image_input.channels),
        graphs=(graph,),
        baked=(),
        network=Network(
            options.model,
            {"dimensions": own.dimensions, "channels": channels, "side_px": side, "width": own.width},
        ),
    )
