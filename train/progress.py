"""What a person sees while training: bars on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import sys
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar


def progress_callbacks(shown: bool) -> list[Callback]:
    """A progress bar where somebody watches a terminal."""
    return [_Bar(leave=True)] if shown and sys.stderr.isatty() and sys.stdout.isatty() else []


def epoch_line(entry: dict[str, Any], epochs: int, metric: str) -> str:
    """One epoch in one line."""
    words = [f"epoch {entry['epoch']:>{len(str(epochs))}}/{epochs}"]
    words += [f"loss {entry['train_loss']:.4f}"] if "train_loss" in entry else []
    words += [f"val loss {entry['val_loss']:.4f}"] if "val_loss" in entry else []
    words.append(f"val {metric} {entry[f'val_{metric}']:.4f}")
    words.append(f"{entry['seconds']:.1f} s")
    return "  ".join(words)


class _Bar(RichProgressBar):
    """Lightning's bar without its version number."""

    def _get_train_description(self, current_epoch: int) -> str:
        # Lightning counts from 0 here, which reads as if the last epoch were missing.
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        shown = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown
