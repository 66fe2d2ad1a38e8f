"""The export line: prune, lower, prove, and only then write."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.calibration import CalibrationChoice, CalibrationSet, choose_calibration
from export.candidate import artifact_name, lower_candidate
from export.gate import COMPRESSED_MAX_DROP, DEFAULT_BUDGETS, Budget
from export.job import Job, prove_target
from export.lowering import Lowering, lowering_for
from export.origin import find_origin
from export.prove import Progress, measure
from export.recipe import INT8, Recipe
from runtimes import DataError, UsageError
from sdk.artifact import Artifact, Evidence, read_artifact, write_artifact
from sdk.atomic_write import atomic_write
from train.tasks import get_task
from train.tasks.base import Split, Task

__all__ = ["DEFAULT_MAX_BATCH", "Exported", "export_artifacts", "lower_candidate"]

DEFAULT_MAX_BATCH = 8
DEFAULT_RECOVERY_EPOCHS = 3
_FP32_RECIPE = Recipe()


@dataclass(frozen=True)
class Exported:
    """One artifact under its final name."""

    target: str
    artifact: Artifact

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.artifact.path

    @property
    def evidence(self) -> Evidence:
        """What was measured."""
        return self.artifact.manifest.evidence


def _silent(_what: str, _done: int, _total: int) -> None:
    """The progress callback of callers that show none."""


def export_artifacts(
    checkpoint: Path | str,
    targets: Sequence[str],
    *,
    recipe: Recipe = _FP32_RECIPE,
    mixed: bool = False,
    prune: float | None = None,
    recovery_epochs: int = DEFAULT_RECOVERY_EPOCHS,
    data: Path | str | None = None,
    calibration: CalibrationChoice | None = None,
    parent: Path | str | None = None,
    out: Path | str | None = None,
    max_drop: float | None = None,
    max_batch: int = DEFAULT_MAX_BATCH,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Exported]:
    """Export a checkpoint to one or more targets. Either all are written, or none.

    Args:
        checkpoint: A `.safetensors` written by `edgewright train` or `prune`.
        targets: Some of ``onnx``, ``pte``, ``trt``.
        recipe: Precision, and how it is reached.
        mixed: For ``int8``: keep the worst layers in fp32, one more at a time, until the budget holds.
        prune: Share of channels to remove first, 0..1; the pruned checkpoint is written too.
        recovery_epochs: Of fine-tuning after pruning, taught by the checkpoint.
        data: Where the task's data lies; None reads it from the ``run.json`` beside the checkpoint.
        calibration: Where calibration samples come from; None is the data's train split.
        parent: The uncompressed checkpoint of a pruned one; None looks beside it.
        out: Folder for the artifacts; None for the checkpoint's own.
        max_drop: Largest loss of the headline metric against the uncompressed checkpoint, in points; None
            for the precision's default.
        max_batch: Largest batch of engines that plan their memory ahead.
        overwrite: Replace artifacts that are there already.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        What was written, in the order of `targets`.

    Raises:
        ProofError: An artifact is past its budget.
        UsageError: An option makes no sense, or a file is there already.
        DataError: The data cannot be used with this checkpoint.
        EngineError: A compiler is missing or refuses the network.
    """
    progress = progress or _silent
    source = read_artifact(checkpoint)
    lowerings = _plan(source, targets, recipe, mixed, prune, max_batch)
    folder = Path(out) if out is not None else source.path.parent
    data = Path(data) if data is not None else data_of_run(source.path)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch_name:
        scratch = Path(scratch_name)
        origin = find_origin(source, Path(parent) if parent is not None else None)
        pruned_name = _pruned_name(source, prune)
        names = [
            artifact_name(_renamed(source, pruned_name), recipe, low.suffix) for low in lowerings.values()
        ]
        written = [pruned_name] if pruned_name else []
        _require_free([folder / name for name in [*written, *names]], overwrite)
        task = get_task(source.spec.task)
        split = task.load_split(data, task.proof_split(data), source.spec)
        choice = calibration or CalibrationChoice()
        calibrated = _calibration(choice, task, data, source, split) if recipe.needs_calibration else None
        if prune is not None and pruned_name is not None:
            source = _pruned(source, prune, recovery_epochs, data, scratch / pruned_name, progress)
        reference = measure(source.path, task, split, progress, "measuring the checkpoint")
        before = reference.metrics
        if origin.path != source.path:
            before = measure(origin.path, task, split, progress, "measuring its parent").metrics
        budget = _budget(recipe, max_drop, origin.path != source.path)
        job = Job(source, origin, task, data, split, reference, before, budget, recipe, mixed, calibrated,
                   max_batch, scratch, progress)  # fmt: skip
        proved = {target: prove_target(target, job) for target in lowerings}
        folder.mkdir(parents=True, exist_ok=True)
        for name in written:
            atomic_write(folder / name, (scratch / name).read_bytes())
        return [
            Exported(target, write_artifact(folder / done.path.name, done.payload, done.manifest))
            for target, done in proved.items()
        ]


def _plan(
    source: Artifact,
    targets: Sequence[str],
    recipe: Recipe,
    mixed: bool,
    prune: float | None,
    max_batch: int,
) -> dict[str, Lowering]:
    if source.suffix != ".safetensors":
        raise UsageError(
            f"Checkpoint {source.path.name!r}",
            got=f"a {source.suffix} artifact",
            expected="a .safetensors checkpoint",
            fix="Export from what `edgewright train` wrote.",
        )
    if max_batch < 1:
        raise UsageError("Option --max-batch", got=str(max_batch), expected="at least 1", fix="Correct it.")
    if prune is not None and not 0 < prune < 1:
        raise UsageError("Option --prune", got=str(prune), expected="between 0 and 1", fix="Correct it.")
    if mixed and recipe.precision != INT8:
        raise UsageError("Option --mixed", got=f"it with --precision {recipe.precision}",
                         expected=f"--precision {INT8}", fix="Leave it out.")  # fmt: skip
    lowerings = {target: lowering_for(target) for target in dict.fromkeys(targets)}
    if not lowerings:
        raise UsageError("Option --to", got="no target", expected="at least one", fix="Say --to onnx.")
    if len({lowering.suffix for lowering in lowerings.values()}) < len(lowerings):
        raise UsageError(
            "Option --to",
            got=",".join(targets),
            expected="one way to each kind of file",
            fix="trt and torch2trt both write .trt: choose one.",
        )
    for lowering in lowerings.values():
        lowering.check(recipe.precision)
    return lowerings


def _require_free(paths: list[Path], overwrite: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UsageError(
            f"Output {there[0].name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Say --overwrite to replace it, or choose another folder with --out.",
        )


def data_of_run(checkpoint: Path) -> Path:
    """Where the data of the run that wrote a checkpoint lies, from the ``run.json`` beside it.

    Raises:
        DataError: There is none.
    """
    record = checkpoint.parent / "run.json"
    try:
        return Path(json.loads(record.read_text())["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Checkpoint {checkpoint.name!r}",
            got="no run.json beside it that names its data",
            expected="real data to prove the artifacts on",
            fix="Say where it lies: --data PATH.",
        ) from error


def _calibration(
    choice: CalibrationChoice, task: Task, data: Path, source: Artifact, proof: Split
) -> CalibrationSet:
    return choose_calibration(
        task, choice.data or data, source.spec, proof, split=choice.split, count=choice.samples
    )


def _pruned_name(source: Artifact, prune: float | None) -> str | None:
    return None if prune is None else f"{source.path.stem}_pruned{round(100 * prune)}.safetensors"


def _renamed(source: Artifact, name: str | None) -> Artifact:
    return source if name is None else replace(source, path=source.path.with_name(name))


def _pruned(
    source: Artifact, ratio: float, epochs: int, data: Path, out: Path, progress: Progress
) -> Artifact:
    from export.pruning import prune_checkpoint

    progress("pruning and recovering", 0, 1)
    path = prune_checkpoint(source.path, ratio, data=data, out=out, epochs=epochs)
    progress("pruning and recovering", 1, 1)
    return read_artifact(path)


def _budget(recipe: Recipe, max_drop: float | None, pruned: bool) -> Budget:
    budget = DEFAULT_BUDGETS[recipe.precision]
    if max_drop is not None:
        return replace(budget, max_drop=max_drop)
    return replace(budget, max_drop=max(budget.max_drop, COMPRESSED_MAX_DROP)) if pruned else budget
