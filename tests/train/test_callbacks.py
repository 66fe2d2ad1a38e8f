"""Which epoch is kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from train.callbacks import EpochCheckpoint


def _run(folder: Path, epochs: list[dict[str, float]], mode: str = "max") -> EpochCheckpoint:
    """Epochs with these figures, their network's one weight being the epoch's number."""
    best = EpochCheckpoint(folder / "best.safetensors", folder / "last.safetensors", "val_accuracy", mode)
    for at, figures in enumerate(epochs):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, at + 1)
        trainer: Any = SimpleNamespace(
            callback_metrics={name: torch.tensor(value) for name, value in figures.items()},
            current_epoch=at,
            is_global_zero=True,
            save_checkpoint=lambda path: None,
        )
        best.on_train_epoch_end(trainer, SimpleNamespace(judged=network))  # type: ignore[arg-type]
    return best


@pytest.mark.parametrize(
    ("accuracies", "losses", "expected"),
    [
        ([0.5, 0.9, 0.7], [3, 2, 1], 2),
        ([0.9, 1.0, 1.0, 1.0], [1.0, 0.6, 0.02, 0.3], 3),
        ([1.0, 1.0], [0.2, 0.2], 1),
        ([1.0, 1.0], [None, None], 1),
        ([1.0, 0.9], [0.5, 0.1], 1),
    ],
    ids=["best score", "lowest loss among equals", "first among equals", "no loss", "score before loss"],
)
def test_best_epoch(
    tmp_path: Path, accuracies: list[float], losses: list[float | None], expected: int
) -> None:
    epochs = [
        {"val_accuracy": accuracy, **({} if loss is None else {"val_loss": loss})}
        for accuracy, loss in zip(accuracies, losses, strict=True)
    ]
    best = _run(tmp_path, epochs)
    assert best.best_epoch == expected
    assert load_file(tmp_path / "best.safetensors")["weight"].item() == expected


def test_state_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = _run(tmp_path, [{"val_accuracy": 1.0, "val_loss": 0.5}])
    second = EpochCheckpoint(tmp_path / "b", tmp_path / "l", "val_accuracy", "max")
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == {"best_epoch": 1, "best_score": 1.0, "best_loss": 0.5}


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    epochs = [{"val_accuracy": value, "val_loss": 1.0} for value in (3.0, 1.0, 2.0)]
    assert _run(tmp_path, epochs, mode="min").best_epoch == 2
