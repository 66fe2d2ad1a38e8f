"""Tasks by name. A new task is a module in this package and a line in the table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from runtimes import UsageError

if TYPE_CHECKING:
    from sdk.artifact import Artifact
    from train.tasks.base import Task

TASKS: dict[str, str] = {
    "product": "train.tasks.product:ProductTask",
    "segmentation": "train.tasks.segmentation:SegmentationTask",
    "detection": "train.tasks.detection:DetectionTask",
    "embedding": "train.tasks.embedding:EmbeddingTask",
    "text": "train.tasks.text:TextTask",
    "medical": "train.tasks.medical:MedicalTask",
    "gan": "train.tasks.gan:GanTask",
    "style": "train.tasks.style:StyleTask",
    "gpt": "train.tasks.gpt:GptTask",
    "forecast": "train.tasks.forecast:ForecastTask",
    "seq2seq": "train.tasks.seq2seq:Seq2SeqTask",
}

OTHERS: dict[str, str] = {"own": "train.tasks.own:OwnTask"}
"""Tasks that measure what was trained elsewhere, and train nothing."""


def get_task(name: str) -> Task:
    """The task called `name`. Importing it is cheap: torch is loaded when training starts.

    Raises:
        UsageError: There is none.
    """
    known = TASKS | OTHERS
    if name not in known:
        raise UsageError("Task", got=repr(name), expected=f"one of {', '.join(TASKS)}", fix="Correct it.")
    module, _, attribute = known[name].partition(":")
    task: Task = getattr(import_module(module), attribute)()
    return task


def task_of(checkpoint: Artifact) -> Task:
    """The task of a checkpoint, set up as for the run that made it.

    Raises:
        UsageError: There is none of that name here.
    """
    from train.folds import folded_as

    facts = checkpoint.manifest.evidence.facts
    return folded_as(get_task(checkpoint.spec.task).as_trained(facts), facts)
