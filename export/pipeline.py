"""The export line: prune, lower, prove, and only then write."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.box_suppression import require_suppressible
from export.calibration import CalibrationChoice, CalibrationSet, choose_calibration
from export.candidate import DEFAULT_MAX_BATCH, lower_candidate
from export.data_dependent import require_holdable
from export.gate import COMPRESSED_MAX_DROP, DEFAULT_BUDGETS, Budget
from export.job import Job, prove_target
from export.lowering import Lowering, lowerings_for
from export.origin import find_origin
from export.progress import epochs_as_steps
from export.prove import Measured, Progress, measure
from export.pruning import prune_checkpoint
from export.recipe import GRAPH, INT8, Recipe
from export.run_data import data_of_run
from runtimes import UsageError
from runtimes.torch_runtime import build_network
from sdk.artifact import Artifact, Evidence, Metric, read_artifact, write_artifact
from sdk.atomic_write import atomic_write
from sdk.spec import Spec
from train.start import require_checkpoint
from train.tasks import task_of
from train.tasks.base import Split, Task

__all__ = ["DEFAULT_MAX_BATCH", "Exported", "export_artifacts", "lower_candidate"]

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
    task: Task | None = None,
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
        task: What measures; None for the one that the checkpoint names.

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
    lowerings = _plan(source, targets, recipe, mixed=mixed, prune=prune, max_batch=max_batch)
    folder = Path(out) if out is not None else source.path.parent
    data = Path(data) if data is not None else data_of_run(source.path)
    pruned_name = _pruned_name(source, prune)
    _require_free(folder, _names(source, pruned_name, recipe, lowerings.values()), overwrite)
    origin = find_origin(source, Path(parent) if parent is not None else None)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch_name:
        scratch = Path(scratch_name)
        task = task or task_of(source)
        split = task.load_split(data, task.proof_split(data), source.spec)
        calibrated = _calibration(calibration, recipe, task, data, split, spec=source.spec)
        if prune is not None and pruned_name is not None:
            source = _pruned(source, prune, data, scratch / pruned_name, recovery_epochs, show=progress)
        reference, before = _measure_both(source, origin, task, split, progress)
        budget = _budget(recipe, max_drop, origin.path != source.path)
        job = Job(source, origin, task, data, split, reference, before, budget, recipe, mixed, calibrated,
                  max_batch, scratch, progress)  # fmt: skip
        proved = {target: prove_target(target, job) for target in lowerings}
        return _write(proved, [source.path] if pruned_name else [], folder)


def _plan(
    source: Artifact,
    targets: Sequence[str],
    recipe: Recipe,
    *,
    mixed: bool,
    prune: float | None,
    max_batch: int,
) -> dict[str, Lowering]:
    require_checkpoint(source)
    if max_batch < 1:
        raise UsageError("Option --max-batch", got=str(max_batch), expected="at least 1", fix="Correct it.")
    if prune is not None and not 0 < prune < 1:
        raise UsageError("Option --prune", got=str(prune), expected="between 0 and 1", fix="Correct it.")
    if mixed and recipe.precision != INT8:
        raise UsageError("Option --mixed", got=f"it with --precision {recipe.precision}",
                         expected=f"--precision {INT8}", fix="Leave it out.")  # fmt: skip
    if recipe.nms == GRAPH:
        require_suppressible(targets, source.spec)
    lowerings = lowerings_for(targets, recipe.precision)
    network = build_network({"name": source.spec.network.name, "arguments": source.spec.network.arguments})
    for target in lowerings:
        require_holdable(network, target, recipe)
    return lowerings


def _write(proved: dict[str, Artifact], checkpoints: list[Path], folder: Path) -> list[Exported]:
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoints:
        atomic_write(folder / path.name, path.read_bytes())
    return [
        Exported(target, write_artifact(folder / done.path.name, done.payload, done.manifest))
        for target, done in proved.items()
    ]


def _names(
    source: Artifact, pruned_name: str | None, recipe: Recipe, lowerings: Iterable[Lowering]
) -> list[str]:
    """Every file that will be written."""
    stem = source.path.stem if pruned_name is None else Path(pruned_name).stem
    names = [f"{stem}{recipe.label}{lowering.suffix}" for lowering in lowerings]
    return [pruned_name, *names] if pruned_name else names


def _pruned(
    source: Artifact, ratio: float, data: Path, out: Path, epochs: int, *, show: Progress
) -> Artifact:
    what = "pruning and recovering"
    say = epochs_as_steps(show, what, epochs)
    prune_checkpoint(source.path, ratio, data=data, out=out, epochs=epochs, say=say, bar=False)
    show(what, epochs + 1, epochs + 1)
    return read_artifact(out)


def _require_free(folder: Path, names: list[str], overwrite: bool) -> None:
    there = [folder / name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(
            f"Output {there[0].name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Say --overwrite to replace it, or choose another folder with --out.",
        )


def _calibration(
    choice: CalibrationChoice | None, recipe: Recipe, task: Task, data: Path, proof: Split, *, spec: Spec
) -> CalibrationSet | None:
    if not recipe.needs_calibration:
        return None
    choice = choice or CalibrationChoice()
    return choose_calibration(
        task, choice.data or data, spec, proof, split=choice.split, count=choice.samples
    )


def _pruned_name(source: Artifact, prune: float | None) -> str | None:
    return None if prune is None else f"{source.path.stem}_pruned{round(100 * prune)}.safetensors"


def _measure_both(
    source: Artifact, origin: Artifact, task: Task, split: Split, progress: Progress
) -> tuple[Measured, tuple[Metric, ...]]:
    """What the checkpoint gives, and what the uncompressed one scores."""
    reference = measure(source.path, task, split, progress, "measuring the checkpoint")
    if origin.path == source.path:
        return reference, reference.metrics
    return reference, measure(origin.path, task, split, progress, "measuring its parent").metrics


def _budget(recipe: Recipe, max_drop: float | None, pruned: bool) -> Budget:
    budget = DEFAULT_BUDGETS[recipe.precision]
    if max_drop is not None:
        return replace(budget, max_drop=max_drop)
    return replace(budget, max_drop=max(budget.max_drop, COMPRESSED_MAX_DROP)) if pruned else budget
