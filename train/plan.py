"""What a task hands to the loop for one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from runtimes import Array
from sdk.spec import Spec
from train.networks.freezing import ParameterGroup
from train.sampling import Draw, EpochSampler
from train.tasks.base import Splits

if TYPE_CHECKING:
    from lightning import LightningModule

    from train.options import TrainOptions
    from train.tasks.base import Task


class TrainSet:
    """The training items. Subclasses load, augment and stack."""

    in_memory: bool = False
    """Whether items come from memory, so that worker processes would not pay."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, draw: Draw) -> Any:
        """One item; everything random about it follows from `draw.seed`."""
        raise NotImplementedError

    def collate(self, items: list[Any]) -> Any:
        """Several items as one batch of tensors."""
        raise NotImplementedError


@dataclass
class Plan:
    """One run's parts.

    Attributes:
        spec: Contract of the checkpoint; validation and test go through it.
        network: With its starting weights.
        groups: What trains, and how fast.
        train_set: What is learned from.
        weights: Sampling weight per training item, float64; None shuffles.
        loss: From network and batch to named scalars; ``loss`` is what is minimised, the others are logged.
            A module where it learns something itself: its parameters are in `groups` then.
        validation_loss: From raw outputs and the targets of a batch to a scalar; None where there is none.
        splits: The splits behind all of it.
        module: Makes the Lightning module from task, plan, options and number of workers; None is
            `train.module.TaskModule`. A task with several optimisers brings its own.
        sampler: Draws the training items in place of `weights`; None shuffles.
        parent_sha256: Payload hash of the checkpoint that the run starts from; None for a fresh network.
        facts: For the evidence of the checkpoint, beside what every run records.
    """

    spec: Spec
    network: nn.Module
    groups: Sequence[ParameterGroup]
    train_set: TrainSet
    weights: Array | None
    loss: Callable[[nn.Module, Any], Mapping[str, Tensor]]
    validation_loss: Callable[[Mapping[str, Tensor], Sequence[Any]], Tensor] | None
    splits: Splits
    module: Callable[[Task, Plan, TrainOptions, int], LightningModule] | None = None
    sampler: EpochSampler | None = None
    parent_sha256: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
