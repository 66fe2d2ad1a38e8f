"""Network, loss and batches for one run of metric learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdk.artifact import Artifact
from sdk.inputs.image import ImageInput
from sdk.outputs.embedding import EMBEDDING, EmbeddingOutput
from sdk.spec import Spec
from train.embedding_losses import EmbeddingLoss
from train.networks.freezing import ParameterGroup
from train.options import TrainOptions, summed
from train.plan import Plan
from train.sampling import ClassBatchSampler
from train.tasks.base import Splits
from train.tasks.embedding import LOSSES, EmbeddingOptions
from train.tasks.image_plan import make_picture_plan, picture_spec


def make_embedding_plan(
    task: str, image_input: ImageInput, options: TrainOptions, splits: Splits, start: Artifact | None
) -> Plan:
    """Put one run together; see `train.tasks.image_plan.make_picture_plan`.

    The network is a classifier's whose last layer gives the vector in place of scores. What only the loss
    learns, such as a direction per class, is no part of it and stays behind when the run is over.
    """
    own: EmbeddingOptions = options.task_options
    dimensions = own.dimensions if start is None else start.spec.output.dimensions  # type: ignore[attr-defined]
    names = summed("--loss", own.loss, LOSSES)
    loss = EmbeddingLoss(names, len(splits.train.labels), dimensions, own.margin, own.centre_weight)
    plan = make_picture_plan(task, image_input, options, splits, start, make_spec=_spec, loss=loss)
    learned = tuple(loss.parameters())
    targets = np.asarray(splits.train.targets)
    return replace(
        plan,
        groups=[*plan.groups, ParameterGroup("loss", learned, 1.0)] if learned else plan.groups,
        sampler=ClassBatchSampler(targets, options.seed, options.batch_size, own.items_per_class),
        facts={**plan.facts, "loss": own.loss},
    )


def _spec(task: str, image_input: ImageInput, options: TrainOptions, labels: tuple[str, ...]) -> Spec:
    del labels
    dimensions = options.task_options.dimensions
    output = EmbeddingOutput(dimensions)
    return picture_spec(task, image_input, options, output=output, name=EMBEDDING, numbers=dimensions)
