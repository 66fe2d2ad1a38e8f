"""What a search needs before its first trial: usable files, data, and a space of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.calibration import choose_calibration
from export.compress_measure import Subject
from export.lowering import Lowering
from export.recovery import example_of
from export.search_space import Space, space_for
from runtimes import DataError, UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import Artifact
from train.start import require_checkpoint
from train.tasks import task_of

if TYPE_CHECKING:
    from torch import nn


def require_usable(
    checkpoint: Artifact, out: Path, lowerings: Mapping[str, Lowering], overwrite: bool
) -> None:
    """Refuse before all the trials what could not be written after them.

    Raises:
        UsageError: No checkpoint, or an artifact that is in the way.
    """
    require_checkpoint(checkpoint)
    example_of(checkpoint)  # every search prunes
    for lowering in lowerings.values():
        there = sorted(out.glob(f"{checkpoint.path.stem}*{lowering.suffix}"))
        if there and not overwrite:
            raise UsageError(
                f"Output {there[0].name!r}",
                got="an artifact that is there already",
                expected="a folder without artifacts of this checkpoint",
                fix="Say --overwrite to replace it (finished trials are kept), or choose another --out.",
            )


def subject_of(checkpoint: Artifact, data: Path, targets: tuple[str, ...], seed: int) -> Subject:
    """Load what candidates are calibrated and measured on.

    Raises:
        DataError: The data cannot be used, or has no split to prove on that the choice has not seen.
    """
    task = task_of(checkpoint)
    proof = task.load_split(data, task.proof_split(data), checkpoint.spec)
    proof.require_truth(data, "choosing a compression")
    if proof.name == "val":
        raise DataError(
            f"Data {data.name!r}",
            got="no test split",
            expected="one: what is chosen on validation data is proved on data the choice has not seen",
            fix="Hold out part of the data as a test split.",
        )
    calibration = choose_calibration(task, data, checkpoint.spec, proof)
    validation = task.load_split(data, "val", checkpoint.spec)
    return Subject(checkpoint, task, data, validation, calibration, targets, seed)


def space_of(checkpoint: Artifact, lowerings: Mapping[str, Lowering]) -> Space:
    """What is worth trying with this network and these targets."""
    from export.layers import layers_of

    network = load_network(checkpoint.program())
    shared = set.intersection(*(set(lowering.precisions) for lowering in lowerings.values()))
    names = layers_of(network)
    return space_for(sorted(shared), list(lowerings), _matrix_share(network, names), len(names))


def _matrix_share(network: nn.Module, names: list[str]) -> float:
    """Share of the weights in layers that are no convolutions."""
    from torch.nn.modules.conv import _ConvNd

    counts = {True: 0, False: 0}
    for name in names:
        module = network.get_submodule(name)
        counts[isinstance(module, _ConvNd)] += sum(p.numel() for p in module.parameters())
    return counts[False] / max(1, sum(counts.values()))


def identity_of(subject: Subject, space: Space) -> dict[str, Any]:
    """What a study belongs to. Budgets are no part of it: another one chooses from the same trials."""
    return {
        "checkpoint": subject.checkpoint.manifest.payload_sha256,
        "data": subject.validation.sha256,
        "calibration data": subject.calibration.sha256,
        "targets": ",".join(subject.targets),
        "seed": subject.seed,
        "precisions": ",".join(space.precisions),
    }
