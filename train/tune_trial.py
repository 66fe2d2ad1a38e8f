"""One trial of a search: a run, or a cross-validation, that is watched and may be ended early."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from train.cross_validation import RECORD, FoldResult, cross_validate
from train.loop import train
from train.options import TrainOptions
from train.run_folder import RunFolder
from train.tasks.base import Task

Report = Callable[[float, int], bool]
"""Called with the value so far and the epoch or fold; whether the trial should end here."""


class PrunedError(Exception):
    """Others were better by then; ends the run."""


class TrialRunner(Protocol):
    """What `run_trial` is, for stand-ins."""

    def __call__(self, task: Task, options: TrainOptions, report: Report) -> float:
        """Run it."""


def run_trial(task: Task, options: TrainOptions, report: Report) -> float:
    """Train, and say how good it was.

    Args:
        task: Whose headline metric counts.
        options: With their own folder; with `TrainOptions.folds` all of them are trained.
        report: Told of every epoch, or with folds of the mean after each.

    Returns:
        The best epoch's value on validation data; of folds the mean of theirs.

    Raises:
        PrunedError: `report` has said so.
        EdgewrightError: The run cannot be done with these options.
    """
    return _mean_of_folds(task, options, report) if options.folds else _best_epoch(task, options, report)


def _best_epoch(task: Task, options: TrainOptions, report: Report) -> float:
    metric = f"val_{task.metric}"

    def watch(entry: dict[str, Any]) -> None:
        # The last epoch's work is done: there is nothing to save by stopping there.
        if report(float(entry[metric]), int(entry["epoch"])) and entry["epoch"] < options.epochs:
            raise PrunedError

    values = [float(entry[metric]) for entry in train(options, watch=watch).history]
    return max(values) if task.mode == "max" else min(values)


def _mean_of_folds(task: Task, options: TrainOptions, report: Report) -> float:
    values: list[float] = []

    def finish(one: FoldResult) -> None:
        values.append(one.held_out[task.metric])
        if report(sum(values) / len(values), one.fold) and one.fold < (options.folds or 0):
            raise PrunedError

    cross_validate(options, finish=finish)
    return sum(values) / len(values)


def continued(options: TrainOptions, earlier: Path) -> TrainOptions:
    """Options that go on where a process that died has stopped.

    Args:
        options: Of the trial that takes over.
        earlier: Folder of the other trial, whose process is known to be gone.
    """
    if not earlier.is_dir() or options.out.exists():
        return options
    earlier.rename(options.out)
    record = RunFolder(options.out).record if options.folds is None else options.out / RECORD
    if not record.is_file():
        shutil.rmtree(options.out)
    return replace(options, resume=record.is_file())


def without_state(folder: Path) -> None:
    """Remove what only an unfinished run is continued from: it is several times as large as the artifact."""
    for state in [folder / "checkpoints", *folder.glob("fold-*/checkpoints")]:
        shutil.rmtree(state, ignore_errors=True)


def artifact_of(folder: Path) -> Path | None:
    """What the run of a trial wrote; None where it has folds, or is on another machine."""
    return next(iter(sorted(folder.glob("*.safetensors"))), None)
