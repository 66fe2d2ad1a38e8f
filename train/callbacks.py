"""What happens around the epochs: history, checkpoints, early stopping, one line of progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from safetensors.torch import save
from torch import nn

from sdk.atomic_write import atomic_write
from train.qat import weights_of

VALIDATION_LOSS = "val_loss"
"""Under this name `train.module.TaskModule` logs it."""


class History(Callback):
    """Keeps every epoch's figures, across resumptions.

    Args:
        tell: Called with each epoch's entry; None is silent.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._tell = tell
        self._began = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Note the epoch: ``epoch`` from 1, learning rate, seconds, and every logged figure."""
        entry: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        entry |= {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        entry["lr"] = float(max(group["lr"] for group in trainer.optimizers[0].param_groups))
        entry["seconds"] = round(time.monotonic() - self._began, 3)
        self.entries.append(entry)
        if self._tell is not None:
            self._tell(entry)

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"entries": self.entries}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.entries = list(state_dict["entries"])


class EpochWatch(Checkpoint):
    """Shows each epoch to somebody who may end the run, after its checkpoint is written.

    A `Checkpoint` only in its place: Lightning calls those last, in the order given.

    Args:
        history: Whose last entry is shown.
        watch: Called with it; what it raises ends the run.
    """

    def __init__(self, history: History, watch: Callable[[dict[str, Any]], None]) -> None:
        self._history, self._watch = history, watch

    def on_train_epoch_end(self, *_: Any) -> None:
        """Show the epoch."""
        self._watch(self._history.entries[-1])


class EpochCheckpoint(Checkpoint):
    """Writes the weights of the best epoch and the full state of the last one.

    Lightning's own `ModelCheckpoint` writes the last state only when the monitored value improved, which
    would send a resumed run back to its best epoch. Of epochs that score alike, as happens on small sets, the
    one with the lowest validation loss is best, and the first where there is none.

    Args:
        best: File for the network's weights of the best epoch.
        last: File for the state to resume from.
        metric: What is monitored, such as ``val_accuracy``.
        mode: ``max`` or ``min``.
    """

    def __init__(self, best: Path, last: Path, metric: str, mode: str) -> None:
        self.best_epoch = 0
        self.best_score = -math.inf if mode == "max" else math.inf
        self._best_loss: float | None = None
        self._best, self._last = best, last
        self._metric = metric
        self._sign = 1.0 if mode == "max" else -1.0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Best first: killed between the two, the run repeats the epoch and writes the same best again."""
        score = float(trainer.callback_metrics[self._metric])
        logged = trainer.callback_metrics.get(VALIDATION_LOSS)
        loss = None if logged is None else float(logged)
        if self._is_better(score, loss):
            self.best_score, self._best_loss, self.best_epoch = score, loss, trainer.current_epoch + 1
            if trainer.is_global_zero:
                atomic_write(self._best, weights_bytes(pl_module.judged))
        # In every process: they meet there, and the first one writes.
        trainer.save_checkpoint(self._last)

    def _is_better(self, score: float, loss: float | None) -> bool:
        if score == self.best_score:
            return loss is not None and self._best_loss is not None and loss < self._best_loss
        return self._sign * score > self._sign * self.best_score

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best_epoch": self.best_epoch, "best_score": self.best_score, "best_loss": self._best_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.best_epoch, self.best_score = state_dict["best_epoch"], state_dict["best_score"]
        self._best_loss = state_dict["best_loss"]


class ResumableEarlyStopping(EarlyStopping):
    """Lightning's early stopping, which also stays stopped when a run that it ended is resumed."""

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """End at once where the patience was used up before."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def weights_bytes(network: nn.Module) -> bytes:
    """The state dict as a safetensors file. Memory layouts such as channels-last are not kept."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in weights_of(network).items()})
