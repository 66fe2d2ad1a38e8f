"""The Lightning module of two networks that learn against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sdk.atomic_write import atomic_write
from sdk.inputs.noise import NOISE
from sdk.outputs.picture import PICTURE
from sdk.results.picture_grid import grid_png
from train.batches import require_loaded
from train.gan_losses import R1_EVERY, AdversarialLoss
from train.module import TaskModule
from train.networks.freezing import ParameterGroup
from train.optimizers import make_optimizer
from train.options import TrainOptions
from train.plan import Plan
from train.schedulers import make_scheduler
from train.tasks.base import Task

GRID = 64
"""Pictures of the grid that is drawn after every epoch, always from the same seeds."""
SAMPLES = "samples"
"""Folder of these grids inside the run's folder."""
_DISCRIMINATOR_RATE = 2.0


class GanModule(TaskModule):
    """Generator and discriminator in turns, each with its own optimiser; validation is that of every task.

    Lightning cannot step two optimisers by itself, so accumulation, clipping (of each network's gradients
    apart) and schedules are done here.

    Args:
        task: Judges the validation results.
        plan: Its loss is an `AdversarialLoss`, its network the generator.
        options: Of the run.
        num_workers: Processes that load data.
    """

    def __init__(self, task: Task, plan: Plan, options: TrainOptions, num_workers: int) -> None:
        super().__init__(task, plan, options, num_workers)
        self.automatic_optimization = False
        assert isinstance(self.loss, AdversarialLoss)
        self._players = self.loss
        self._plateaus: list[ReduceLROnPlateau] = []

    def training_step(self, batch: Any, index: int) -> None:  # type: ignore[override]
        """The discriminator learns from a batch; where its optimiser steps, so does the generator's."""
        real, _ = require_loaded(batch)
        options, players = self._options, self._players
        of_generator, of_discriminator = self.optimizers()  # type: ignore[misc,attr-defined]
        players.noise_share = self._share_left(index)
        group, ends = self._group(index)
        losses = players.discriminator_loss(self.network, real, penalise=index % R1_EVERY == 0)
        self.manual_backward(losses["loss"] / group)
        self._log("discriminator_loss", losses["loss"])
        self._log("told_apart", losses["told_apart"])
        if not ends:
            return
        self._step(of_discriminator)
        for _ in range(group):
            with _frozen(players.discriminator):
                loss = players.generator_loss(self.network, options.batch_size, real.device)
                self.manual_backward(loss / group)
            self._log("loss", loss)
        self._step(of_generator)
        for scheduler in self._stepwise():
            scheduler.step()

    def on_train_batch_end(self, _outputs: Any, _batch: Any, index: int) -> None:
        """Move the average behind each step of the generator."""
        if self.average is not None and self._group(index)[1]:
            self.average.update_parameters(self.network)

    def on_validation_epoch_end(self) -> None:
        """Judge the epoch, and draw its grid."""
        super().on_validation_epoch_end()
        if self.trainer.is_global_zero:
            folder = Path(self.trainer.default_root_dir) / SAMPLES
            folder.mkdir(exist_ok=True)
            atomic_write(folder / f"epoch_{self.current_epoch + 1:03d}.png", self._grid())

    def on_train_epoch_end(self) -> None:
        """Advance ``plateau``, for both."""
        for scheduler in self._plateaus:
            scheduler.step(float(self.trainer.callback_metrics[f"val_{self._task.metric}"]))

    def configure_optimizers(self) -> Any:
        """The generator's optimiser first, then the discriminator's; schedules where there are some."""
        options = self._options
        rate = options.task_options.discriminator_lr
        scale = _DISCRIMINATOR_RATE if rate is None else rate / options.lr
        group = ParameterGroup("discriminator", tuple(self._players.parameters()), scale)
        optimizers = [make_optimizer(options, groups) for groups in (self._plan.groups, [group])]
        for optimizer in optimizers:
            _set_beta1(optimizer, options.task_options.beta1)
        steps = math.ceil(len(self.train_dataloader()) / options.accumulate)
        made = [make_scheduler(options, optimizer, steps, self._task.mode) for optimizer in optimizers]
        schedulers = [scheduler for scheduler in made if scheduler is not None]
        self._plateaus = [each for each in schedulers if isinstance(each, ReduceLROnPlateau)]
        return optimizers, schedulers

    def _group(self, index: int) -> tuple[int, bool]:
        """How many batches share the step that batch `index` belongs to, and whether it ends there."""
        most, count = self._options.accumulate, int(self.trainer.num_training_batches)
        size = min(most, count - index // most * most)
        return size, (index + 1) % most == 0 or index + 1 == count

    def _share_left(self, index: int) -> float:
        """Of the run, before batch `index` of this epoch: from 1 to 0."""
        done = self.current_epoch + index / max(1, int(self.trainer.num_training_batches))
        return max(0.0, 1.0 - done / self._options.epochs)

    def _step(self, optimizer: Any) -> None:
        options = self._options
        if options.clip_norm is not None:
            self.clip_gradients(optimizer, options.clip_norm, "norm")
        elif options.clip_value is not None:
            self.clip_gradients(optimizer, options.clip_value, "value")
        optimizer.step()
        optimizer.zero_grad()

    def _stepwise(self) -> list[Any]:
        found = self.lr_schedulers()
        schedulers = found if isinstance(found, list) else [found]
        return [each for each in schedulers if each is not None and not isinstance(each, ReduceLROnPlateau)]

    def _log(self, name: str, value: Tensor) -> None:
        count = self._options.batch_size
        self.log(
            f"train_{name}",
            value.detach(),
            on_step=False,
            on_epoch=True,
            batch_size=count,
            sync_dist=self._world.size > 1,
        )

    def _grid(self) -> bytes:
        """The generator's pictures of the first `GRID` seeds."""
        spec = self._plan.spec
        samples = [spec.input.load(seed) for seed in range(GRID)]
        noise = torch.from_numpy(spec.input.batch(samples, ())[NOISE]).to(self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            pictures = self.judged(noise).float().cpu().numpy()
        results = spec.output.read(spec.activated({PICTURE: pictures}), samples)
        return grid_png([result.image for result in results])


def _set_beta1(optimizer: Optimizer, beta1: float) -> None:
    """Only Adam and AdamW have betas."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (beta1, group["betas"][1])


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for its parameters; they pass through to what is in front of it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
