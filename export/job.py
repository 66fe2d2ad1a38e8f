"""One export's job: lower, prove, judge, and compare each target with its uncompressed parent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from export.calibration import CalibrationSet
from export.candidate import artifact_name, lower_candidate
from export.gate import (
    Budget,
    drop_points,
    gain_facts,
    require_agreement,
    require_same_answers,
    require_small_drop,
    verify_tolerance,
)
from export.latency import TIMED_ITEMS, surest_latency
from export.lowering import lowering_for
from export.prove import Measured, Progress, compare, measure, replay_singly
from export.recipe import FP32, INT8, Recipe
from runtimes import DeviceError
from runtimes.torch_runtime import load_network
from sdk.artifact import PROVED, Artifact, Metric, write_artifact
from sdk.codec import to_json
from train.tasks.base import Split, Task

MOST_KEPT_SHARE = 0.5
"""With more than half of the layers in fp32, a file is no longer what was asked for."""


@dataclass(frozen=True)
class Job:
    """What all targets of one export share.

    Attributes:
        checkpoint: What is lowered.
        origin: The uncompressed checkpoint behind it; the same where it was not pruned.
        task: Measures.
        data: Where its data lies.
        split: What accuracy is reported on.
        reference: What the checkpoint gives on it.
        before: What the origin scores on it.
        budget: What an artifact may lose.
        recipe: Precision, and how it is reached.
        mixed: Keep the worst layers in fp32 until the budget holds.
        calibration: Real inputs, where the recipe needs them.
        max_batch: Largest batch of engines that plan their memory ahead.
        scratch: Folder for what is not proved yet.
        progress: Called as ``progress(what, done, total)``.
    """

    checkpoint: Artifact
    origin: Artifact
    task: Task
    data: Path
    split: Split
    reference: Measured
    before: tuple[Metric, ...]
    budget: Budget
    recipe: Recipe
    mixed: bool
    calibration: CalibrationSet | None
    max_batch: int
    scratch: Path
    progress: Progress

    @property
    def compressed(self) -> bool:
        """Whether there is an uncompressed artifact to be better than."""
        return self.recipe.precision != FP32 or self.origin.path != self.checkpoint.path

    @cached_property
    def worst_layers(self) -> list[str]:
        """Layers by the harm that quantising each alone does, on data that accuracy is not reported on."""
        from export.sensitivity import DEFAULT_SAMPLES, quantisation_effects, some_of

        assert self.calibration is not None
        judged = "val" if self.split.name != "val" else "train"
        part = some_of(self.task.load_split(self.data, judged, self.checkpoint.spec), DEFAULT_SAMPLES)
        effects = quantisation_effects(
            load_network(self.checkpoint.program()),
            self.checkpoint.spec,
            self.task,
            part,
            calibration=self.calibration,
            granularity=self.recipe.granularity,
            progress=self.progress,
        )
        return [effect.layer for effect in effects]


def prove_target(target: str, job: Job) -> Artifact:
    """Lower and prove; with `mixed`, again with one more layer in fp32 until the budget holds."""
    candidate, measured = _lower_and_measure(target, job, job.recipe)
    if measured is None:
        return _with_gain(candidate, target, job)
    kept = len(job.recipe.keep)
    while job.mixed and measured.metrics and drop_points(measured.metrics, job.before) > job.budget.max_drop:
        kept += 1
        if kept > MOST_KEPT_SHARE * len(job.worst_layers):
            break
        recipe = replace(job.recipe, keep=tuple(dict.fromkeys([*job.recipe.keep, *job.worst_layers]))[:kept])
        candidate, again = _lower_and_measure(target, job, recipe)
        assert again is not None
        measured = again
    return _judged(candidate, measured, target, job)


def _lower_and_measure(target: str, job: Job, recipe: Recipe) -> tuple[Artifact, Measured | None]:
    """A candidate and what it gives; None for the latter where its device is not here."""
    name = artifact_name(job.checkpoint, recipe, lowering_for(target).suffix)
    kept = f", {len(recipe.keep)} layers in fp32" if recipe.keep else ""
    job.progress(f"lowering to {name}{kept}", 0, 1)
    candidate = lower_candidate(
        job.checkpoint,
        target,
        recipe,
        job.calibration,
        job.scratch,
        max_batch=job.max_batch,
        tolerance=verify_tolerance(job.budget, 1.0),
        reference=job.reference.reference,
    )
    job.progress(f"lowering to {name}{kept}", 1, 1)
    try:
        return candidate, measure(candidate.path, job.task, job.split, job.progress, f"proving {name}{kept}")
    except DeviceError:
        return candidate, None  # built for a device that is not here, and marked as that


def _judged(candidate: Artifact, measured: Measured, target: str, job: Job) -> Artifact:
    name = candidate.path.name
    singly = replay_singly(candidate)
    parity = compare(measured, job.reference, job.task)
    parity = replace(parity, worst_difference=max(parity.worst_difference, singly))
    require_same_answers(job.budget, name, parity)
    if measured.metrics:
        require_small_drop(job.budget, name, measured.metrics, job.before, lambda: _advice(job))
    else:
        require_agreement(job.budget, name, parity)
    evidence = replace(
        candidate.manifest.evidence,
        status=PROVED,
        tolerance=verify_tolerance(job.budget, singly),
        parity=parity,
        metrics=measured.metrics,
    )
    manifest = replace(candidate.manifest, evidence=evidence, reference=measured.reference)
    proved = replace(candidate, manifest=manifest)
    return _with_gain(proved, target, job)


def _advice(job: Job) -> str:
    """What to try, with the layers that lose most where single layers can be kept."""
    if job.recipe.precision == INT8:
        worst = [name for name in job.worst_layers if name not in job.recipe.keep][:3]
        return (
            f"The layers that lose most are {', '.join(worst)}: keep them in fp32 with "
            f"--keep {','.join(worst)}, or say --mixed; or raise --max-drop if you accept this."
        )
    if job.origin.path != job.checkpoint.path:
        return f"{_pruning_advice(job)}Train it longer, prune less, or raise --max-drop if you accept this."
    return "Raise --max-drop if you accept this, or use fp32."


def _pruning_advice(job: Job) -> str:
    pruning = job.checkpoint.manifest.evidence.facts.get("pruning")
    if not pruning:
        return ""
    from export.sensitivity import DEFAULT_SAMPLES, pruning_effects, some_of

    judged = "val" if job.split.name != "val" else "train"
    part = some_of(job.task.load_split(job.data, judged, job.origin.spec), DEFAULT_SAMPLES)
    network = load_network(job.origin.program())
    effects = pruning_effects(
        network, job.origin.spec, job.task, part, ratio=float(pruning["ratio"]), progress=job.progress
    )
    return f"The layers that lose most are {', '.join(effect.layer for effect in effects[:3])}. "


def _with_gain(done: Artifact, target: str, job: Job) -> Artifact:
    """The artifact with what it gained over its parent: the fp32 artifact of the uncompressed checkpoint."""
    evidence = done.manifest.evidence
    facts = {
        **evidence.facts,
        "data_sha256": job.split.sha256,
        "before": [to_json(metric) for metric in job.before[:1]],
    }
    parent = job.origin
    if job.compressed:
        place = job.scratch / "parent"
        place.mkdir(exist_ok=True)
        parent = lower_candidate(job.origin, target, Recipe(), None, place, max_batch=job.max_batch,
                                 reference=job.reference.reference)  # fmt: skip
    if evidence.status == PROVED:
        job.progress(f"timing {done.path.name} against its parent", 0, 1)
        latency = surest_latency(done.path, parent.path, list(job.split.items[:TIMED_ITEMS]))
        job.progress(f"timing {done.path.name} against its parent", 1, 1)
    else:
        latency = None
    # Twice, because in some formats the evidence is part of the file whose size it tells.
    for _ in range(2):
        gained = gain_facts(done, parent, latency)
        if not job.compressed:
            del gained["gain"]
        told = replace(done.manifest, evidence=replace(evidence, facts={**facts, **gained}))
        done = write_artifact(done.path, done.payload, told)
    return done
