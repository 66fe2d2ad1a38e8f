"""The Lightning module that trains any plan with one optimiser."""

from __future__ import annotations

import math
import random
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from train.batches import activated, forward_batch, require_loaded, spec_loader
from train.distributed import World
from train.moving_average import moving_average
from train.networks.freezing import frozen_modules
from train.optimizers import make_optimizer
from train.options import TrainOptions
from train.plan import Plan
from train.sampling import EpochSampler, PartSampler, derive_seed
from train.schedulers import make_scheduler
from train.tasks.base import Task


class TaskModule(lightning.LightningModule):
    """Training minimises the plan's loss; validation goes through the spec and the task's `measure`.

    Args:
        task: Judges the validation results.
        plan: Network, data and loss.
        options: Of the run.
        num_workers: Processes that load data.
    """

    def __init__(self, task: Task, plan: Plan, options: TrainOptions, num_workers: int) -> None:
        super().__init__()
        self.network = plan.network
        self.average = None if options.ema is None else moving_average(plan.network, options.ema)
        self._averaged_steps = 0
        # Where the loss learns something itself, Lightning must move, train and save it with the rest.
        self.loss = plan.loss
        self._task = task
        self._plan = plan
        self._options = options
        self._num_workers = num_workers
        self._results: list[Any] = []
        self._plateau: ReduceLROnPlateau | None = None
        self._world = World.of_environment()

    @property
    def judged(self) -> nn.Module:
        """The network that is validated, and kept where it is best."""
        if self.average is None:
            return self.network
        network: nn.Module = self.average.module
        return network

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of the epoch that is about to run."""
        # Lightning sets the epoch too, but on resuming only after it has fetched the first batch.
        epoch = self.trainer.fit_loop.epoch_progress.current.processed
        return train_loader(self._plan, self._options, self._num_workers, epoch)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation split, or this process's part of it, through the spec."""
        part = self._world.part_of(self._plan.splits.val)
        return spec_loader(self._plan.spec, part, self._options.batch_size, self._num_workers)

    def on_train_start(self) -> None:
        """Go on averaging where a resumed run stopped: not before its next step."""
        self._averaged_steps = self.trainer.global_step

    def on_train_epoch_start(self) -> None:
        """Start every epoch from its own seed: a resumed run then draws what an unbroken one would have."""
        rank = self._world.rank
        # What processes that train together draw must differ; the first draws what a single one would.
        seed = derive_seed(self._options.seed, "epoch", self.current_epoch, *([rank] if rank else []))
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        for module in frozen_modules(self.network):
            module.eval()

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """The loss of one batch."""
        losses = self.loss(self.network, require_loaded(batch))
        count = self._options.batch_size
        for name, value in losses.items():
            self.log(
                f"train_{name}",
                value.detach(),
                on_step=False,
                on_epoch=True,
                batch_size=count,
                sync_dist=self._world.size > 1,
            )
        return losses["loss"]

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average, where there is one, behind each optimiser step."""
        if self.average is not None and self.trainer.global_step > self._averaged_steps:
            self._averaged_steps = self.trainer.global_step
            self.average.update_parameters(self.network)

    def validation_step(self, batch: Any, _index: int) -> None:
        """Collect what the spec reads from the network's answers, in 32 bit as on the device."""
        batch, spec = require_loaded(batch), self._plan.spec.measuring()
        with torch.autocast(self.device.type, enabled=False):
            outputs = forward_batch(self.judged, spec, batch)
            if self._plan.validation_loss is not None:
                targets = list(batch.targets) * spec.input.rows_per_item(spec.baked)
                loss = self._plan.validation_loss(outputs, targets)
                count = len(batch.samples)
                self.log("val_loss", loss, batch_size=count, sync_dist=self._world.size > 1)
        self._results += spec.output.read(activated(spec, outputs), batch.samples)

    def on_validation_epoch_end(self) -> None:
        """Judge the epoch."""
        results, self._results = self._results, []
        val = self._plan.splits.val
        whole = self._world.collected(results, val)
        for metric in self._world.by_first(lambda: self._task.measure(whole, val)):
            self.log(f"val_{metric.name}", float(metric.value), sync_dist=self._world.size > 1)

    def on_train_epoch_end(self) -> None:
        """Advance ``plateau``: here, so that the epoch's checkpoint holds it.

        Lightning 2.6 would do so after the checkpoint was written, and not make up for it on resuming.
        """
        if self._plateau is not None:
            self._plateau.step(float(self.trainer.callback_metrics[f"val_{self._task.metric}"]))

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Leave ``plateau`` to `on_train_epoch_end`."""
        if scheduler is not self._plateau:
            super().lr_scheduler_step(scheduler, metric)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule of the options."""
        optimizer = make_optimizer(self._options, self._plan.groups)
        # Asked here, Lightning does not know the number of batches yet.
        steps = math.ceil(len(self.train_dataloader()) / self._options.accumulate)
        scheduler = make_scheduler(self._options, optimizer, steps, self._task.mode)
        if scheduler is None:
            return optimizer
        config: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            self._plateau = scheduler
            config = {"scheduler": scheduler, "interval": "epoch", "monitor": f"val_{self._task.metric}"}
        return {"optimizer": optimizer, "lr_scheduler": config}


def train_loader(plan: Plan, options: TrainOptions, num_workers: int, epoch: int) -> DataLoader[Any]:
    """Batches of one epoch for this process; a short last one is left out where there are others.

    Args:
        plan: Whose training set is drawn from, by its sampler or weights.
        options: Of the run.
        num_workers: Processes that load data.
        epoch: Whose order it is, from 0.
    """
    whole = plan.sampler or EpochSampler(len(plan.train_set), options.seed, plan.weights)
    whole.set_epoch(epoch)
    world = World.of_environment()
    single = world.size == 1
    sampler = whole if single else PartSampler(whole, world.rank, world.size, options.batch_size)
    return DataLoader(
        plan.train_set,
        options.batch_size,
        sampler=sampler,
        **world.loading(num_workers),
        collate_fn=plan.train_set.collate,
        drop_last=len(sampler) > options.batch_size,
        generator=torch.Generator().manual_seed(options.seed),
    )
