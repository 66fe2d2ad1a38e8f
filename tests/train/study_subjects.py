"""A study that tests share between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from train.options import make_options
from train.tasks import get_task
from train.tune_space import Space, make_space
from train.tune_study import SharedStudy

TEXTS = ("lr=log:1e-4..1e-1", "batch_size=16,32,128")


def small_space() -> Space:
    """Two knobs of task ``product``."""
    task = get_task("product")
    return make_space(task, TEXTS, {}, make_options("product", "data"))


def open_shared(storage: str | Path, **changed: Any) -> SharedStudy:
    """The study in a storage; ``changed`` are arguments of `SharedStudy`."""
    import optuna

    space = small_space()
    given: dict[str, Any] = {
        "identity": {"data": "c0ffee"},
        "mode": "max",
        "seed": 0,
        "pruner": optuna.pruners.NopPruner(),
        "first": space.first_values(make_options("product", "data")),
        "patience_s": 60.0,
    }
    return SharedStudy(storage, "shared", space, **{**given, **changed})
