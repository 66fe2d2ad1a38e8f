"""What belongs to one run, in one hand."""

from __future__ import annotations

from dataclasses import dataclass

from train.options import TrainOptions
from train.plan import Plan
from train.run_folder import RunFolder
from train.tasks.base import Split, Task


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        task: Whose data, network and judgement it is.
        options: What it was told.
        folder: Where it writes.
        plan: The parts that the task made for it.
    """

    task: Task
    options: TrainOptions
    folder: RunFolder
    plan: Plan

    @property
    def splits(self) -> dict[str, Split]:
        """The different splits by name; without a test split, the validation split is there once."""
        return {split.name: split for split in self.plan.splits}

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hash of each split."""
        return {name: split.sha256 for name, split in self.splits.items()}
