"""Checkpoints that a run starts from or learns from.

Anything that trains on what an earlier run left (pruned networks, quantisation-aware training, another round
of training) sets `TrainOptions.start`: ``task.plan(options)`` then takes spec and weights from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.artifact import Artifact, read_artifact

INHERITED_FACTS = ("pruning",)
"""What stays true of a network however long it is trained on, and so passes from start to result."""


def read_checkpoint(path: Path, option: str, task: str) -> Artifact:
    """The checkpoint that an option names.

    Args:
        path: A `.safetensors` written by `edgewright train` or `edgewright prune`.
        option: The option, for messages.
        task: It must belong to this task.

    Raises:
        ArtifactError: It cannot be read, or is not whole.
        UsageError: It is an exported artifact, or of another task.
    """
    artifact = read_artifact(path)
    require_checkpoint(artifact, f"Option {option}")
    if artifact.spec.task != task:
        raise UsageError(
            f"Option {option} {path.name!r}",
            got=f"a checkpoint of task {artifact.spec.task!r}",
            expected=f"one of task {task!r}",
            fix="Name another, or train that task.",
        )
    return artifact


def inherited_facts(start: Artifact, *, keep_zeros: bool) -> dict[str, Any]:
    """Facts of the start that hold for what is trained from it; of its sparsity only where zeros are kept."""
    facts = start.manifest.evidence.facts
    names = (*INHERITED_FACTS, "sparsity") if keep_zeros else INHERITED_FACTS
    return {name: facts[name] for name in names if name in facts}


def require_checkpoint(artifact: Artifact, what: str = "Checkpoint") -> None:
    """Refuse an artifact that was exported already.

    Args:
        artifact: What was named.
        what: What it was named as, for the message.

    Raises:
        UsageError: It is no checkpoint.
    """
    if artifact.suffix != ".safetensors":
        raise UsageError(
            f"{what} {artifact.path.name!r}",
            got=f"a {artifact.suffix} artifact",
            expected="a .safetensors checkpoint",
            fix="Name what `edgewright train` wrote.",
        )
