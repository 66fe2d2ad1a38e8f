"""The export line: bake, lower, prove, and only then write."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.lowering import FP32, PRECISIONS, Lowered, Lowering, Request, lowering_for
from export.prove import (
    DEFAULT_BUDGETS,
    Budget,
    Measured,
    Progress,
    compare,
    measure,
    replay_singly,
    require_within,
)
from runtimes import DataError, DeviceError, UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import (
    NOT_RUN,
    PROVED,
    Artifact,
    Evidence,
    Manifest,
    Metric,
    Parity,
    read_artifact,
    write_artifact,
)
from sdk.artifact.provenance import now_utc, versions_of
from train.tasks import get_task
from train.tasks.base import Split, Task

DEFAULT_MAX_BATCH = 8
_PACKAGES = (
    "edgewright",
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "executorch",
    "tensorrt",
    "tensorrt_rtx_cu13",
    "numpy",
    "pillow",
)
_EVIDENCE_ROOM = 16 * 1024
"""Bytes left in a `.pte` for evidence that is measured after lowering."""


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


@dataclass(frozen=True)
class _Job:
    """What all targets of one export share."""

    checkpoint: Artifact
    task: Task
    split: Split
    reference: Measured
    budget: Budget
    request: Request
    progress: Progress


def export_artifacts(
    checkpoint: Path | str,
    targets: Sequence[str],
    *,
    precision: str = FP32,
    data: Path | str | None = None,
    out: Path | str | None = None,
    max_drop: float | None = None,
    max_batch: int = DEFAULT_MAX_BATCH,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Exported]:
    """Export a checkpoint to one or more targets. Either all are written, or none.

    Args:
        checkpoint: A `.safetensors` written by `edgewright train`.
        targets: Some of ``onnx``, ``pte``, ``trt``.
        precision: ``fp32`` or ``fp16``.
        data: Where the task's data lies; None reads it from the ``run.json`` beside the checkpoint.
        out: Folder for the artifacts; None for the checkpoint's own.
        max_drop: Largest loss of the headline metric in points; None for the precision's default.
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
    lowerings = _plan(source, targets, precision, max_batch)
    folder = Path(out) if out is not None else source.path.parent
    _require_free([folder / f"{source.spec.name}{low.suffix}" for low in lowerings.values()], overwrite)
    task = get_task(source.spec.task)
    split = _load_split(task, source, data)
    reference = measure(source.path, task, split, progress, "measuring the checkpoint")
    budget = DEFAULT_BUDGETS[precision]
    budget = budget if max_drop is None else replace(budget, max_drop=max_drop)
    room = len(source.manifest.to_bytes()) + _EVIDENCE_ROOM
    job = _Job(source, task, split, reference, budget, Request(precision, max_batch, room), progress)
    proved = {target: _lower_and_prove(lowering, job) for target, lowering in lowerings.items()}
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Exported(
            target,
            write_artifact(folder / f"{source.spec.name}{lowerings[target].suffix}", payload, manifest),
        )
        for target, (payload, manifest) in proved.items()
    ]


def _plan(source: Artifact, targets: Sequence[str], precision: str, max_batch: int) -> dict[str, Lowering]:
    if source.suffix != ".safetensors":
        raise UsageError(
            f"Checkpoint {source.path.name!r}",
            got=f"a {source.suffix} artifact",
            expected="a .safetensors checkpoint",
            fix="Export from what `edgewright train` wrote.",
        )
    if precision not in PRECISIONS:
        raise UsageError(
            "Option --precision",
            got=repr(precision),
            expected=f"one of {', '.join(PRECISIONS)}",
            fix="Correct it.",
        )
    if max_batch < 1:
        raise UsageError("Option --max-batch", got=str(max_batch), expected="at least 1", fix="Correct it.")
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
        lowering.check(precision)
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


def _load_split(task: Task, source: Artifact, data: Path | str | None) -> Split:
    folder = Path(data) if data is not None else _data_of_run(source.path)
    return task.load_split(folder, task.proof_split(folder), source.spec)


def _data_of_run(checkpoint: Path) -> Path:
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


def _lower_and_prove(lowering: Lowering, job: _Job) -> tuple[bytes, Manifest]:
    name = f"{job.checkpoint.spec.name}{lowering.suffix}"
    job.progress(f"lowering to {name}", 0, 1)
    network = load_network(job.checkpoint.program())
    lowered = lowering.lower(network, job.checkpoint.spec, job.request)
    job.progress(f"lowering to {name}", 1, 1)
    manifest = Manifest(
        version=job.checkpoint.manifest.version,
        spec=lowered.spec,
        samples=job.checkpoint.manifest.samples,
        evidence=_evidence(lowered, job, NOT_RUN, None, ()),
        payload_sha256="",
    )
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch:
        candidate = write_artifact(Path(scratch) / name, lowered.payload, manifest)
        try:
            measured = measure(candidate.path, job.task, job.split, job.progress, f"proving {name}")
            singly = replay_singly(candidate)
        except DeviceError:
            return lowered.payload, manifest  # built for a device that is not here, and marked as that
    parity = compare(measured, job.reference, job.task)
    parity = replace(parity, worst_difference=max(parity.worst_difference, singly))
    require_within(job.budget, name, parity, measured.metrics, job.reference.metrics)
    evidence = _evidence(lowered, job, PROVED, parity, measured.metrics)
    return lowered.payload, replace(manifest, evidence=evidence)


def _evidence(
    lowered: Lowered, job: _Job, status: str, parity: Parity | None, metrics: tuple[Metric, ...]
) -> Evidence:
    return Evidence(
        status=status,
        created_utc=now_utc(),
        parent_sha256=job.checkpoint.manifest.payload_sha256,
        precision=lowered.precision,
        tolerance=job.budget.tolerance,
        parity=parity,
        metrics=metrics,
        tools=versions_of(_PACKAGES),
        facts={**lowered.facts, "data_sha256": job.split.sha256},
    )
