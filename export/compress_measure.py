"""One trial: prune and recover, lower, and measure in every target's runtime on this machine."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from export.bake import example_input
from export.calibration import CalibrationSet
from export.candidate import DEFAULT_MAX_BATCH, lower_candidate
from export.gate import drop_points, gain_facts
from export.latency import TIMED_ITEMS, LatencyRatio, surest_latency
from export.progress import epochs_as_steps
from export.prove import Progress, measure
from export.recipe import Recipe
from export.search_space import Candidate
from export.sensitivity import DEFAULT_SAMPLES, quantisation_effects, some_of
from export.trial import Figures, Trial
from runtimes import DeviceError, EngineError, EngineMissingError, ProofError
from runtimes.torch_runtime import load_network
from sdk.artifact import Artifact, Metric, read_artifact
from sdk.artifact.provenance import versions_of
from train.tasks.base import Split, Task

_DECIMALS = 5


@dataclass(frozen=True)
class Subject:
    """What is compressed, and what it is measured on.

    Attributes:
        checkpoint: Uncompressed.
        task: Judges the answers.
        data: Where its data lies.
        validation: What candidates are measured on; never what the chosen one is proved on.
        calibration: Real inputs from the training split.
        targets: Such as ``onnx``.
        seed: Of pruning and recovery.
    """

    checkpoint: Artifact
    task: Task
    data: Path
    validation: Split
    calibration: CalibrationSet
    targets: tuple[str, ...]
    seed: int


class Bench:
    """Measures candidates of one subject.

    Args:
        subject: What is compressed.
        work: Folder for pruned checkpoints, which are kept, and for everything else, which is not.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        DeviceError: A target cannot be run on this machine.
        EngineMissingError: A target's compiler or runtime is not installed.
    """

    def __init__(self, subject: Subject, work: Path, progress: Progress) -> None:
        self._subject, self._work, self._progress = subject, work, progress
        work.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="trial-", dir=work)
        self._timed = some_of(subject.validation, TIMED_ITEMS).items
        self.reference = self._metrics(subject.checkpoint.path, "measuring the checkpoint")
        self._parents = {target: self._lower_parent(target) for target in subject.targets}
        self._macs = count_macs(subject.checkpoint)

    def close(self) -> None:
        """Remove everything but pruned checkpoints."""
        self._scratch.cleanup()

    @cached_property
    def worst_layers(self) -> tuple[str, ...]:
        """The network's layers, the one that quantisation hurts most first; measured once, kept in a file."""
        from sdk.atomic_write import atomic_write

        path = self._work / f"layers_{self._key({'what': 'layers'})}.json"
        if not path.exists():
            subject = self._subject
            effects = quantisation_effects(
                load_network(subject.checkpoint.program()),
                subject.checkpoint.spec,
                subject.task,
                some_of(subject.validation, DEFAULT_SAMPLES),
                calibration=subject.calibration,
                progress=self._progress,
            )
            atomic_write(path, json.dumps([effect.layer for effect in effects]))
        return tuple(json.loads(path.read_text()))

    def run(self, number: int, candidate: Candidate) -> Trial:
        """Measure one candidate. That it cannot be made or run is a finding, no failure of the search.

        Raises:
            DeviceError: A device has gone.
        """
        begin = time.monotonic()
        try:
            figures, cost = self._measure(candidate)
        except (EngineMissingError, DeviceError):
            raise
        except (EngineError, ProofError) as error:
            return Trial(number, candidate, (), 0.0, _seconds(begin), str(error))
        return Trial(number, candidate, figures, cost, _seconds(begin))

    def recipe(self, candidate: Candidate) -> Recipe:
        """How a candidate's numbers are lowered, with the layers it keeps by name."""
        return candidate.recipe(self.worst_layers if candidate.keep_worst else ())

    def checkpoint(self, candidate: Candidate) -> Path:
        """The checkpoint that a candidate is lowered from: pruned and recovered, or the one given.

        A finished one lies in a folder named by the hash of all that made it; it is made elsewhere and moved
        there whole, so that a killed search leaves none that is half trained.
        """
        subject = self._subject
        if not candidate.pruned_percent:
            return subject.checkpoint.path
        made_by = {
            "pruned_percent": candidate.pruned_percent,
            "importance": candidate.importance,
            "epochs": candidate.epochs,
        }
        name = f"{subject.checkpoint.path.stem}_pruned{candidate.pruned_percent}.safetensors"
        path = self._work / "checkpoints" / self._key(made_by) / name
        if not path.exists():
            from export.pruning import prune_checkpoint

            what = f"pruning {candidate.pruned_percent} %, {candidate.epochs} epochs of distillation"
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="pruning-", dir=self._work) as scratch:
                made = prune_checkpoint(
                    subject.checkpoint.path,
                    candidate.pruned_percent / 100,
                    data=subject.data,
                    out=Path(scratch) / name,
                    importance=candidate.importance,
                    epochs=candidate.epochs,
                    seed=subject.seed,
                    say=epochs_as_steps(self._progress, what, candidate.epochs),
                    bar=False,
                )
                made.replace(path)
            self._progress(what, candidate.epochs + 1, candidate.epochs + 1)
        return path

    def _measure(self, candidate: Candidate) -> tuple[tuple[Figures, ...], float]:
        source = read_artifact(self.checkpoint(candidate))
        recipe, macs = self.recipe(candidate), count_macs(source) / self._macs
        figures = tuple(self._measure_target(source, target, recipe) for target in self._subject.targets)
        # The stand-in for latency that the sampler sees: see export.study.
        cost = macs * sum(one.size_ratio for one in figures) / len(figures)
        return figures, round(cost, _DECIMALS)

    def _measure_target(self, source: Artifact, target: str, recipe: Recipe) -> Figures:
        parent = self._parents[target]
        with tempfile.TemporaryDirectory(dir=self._scratch.name) as folder:
            artifact = self._lower(source, target, recipe, Path(folder))
            metrics = self._metrics(artifact.path, f"measuring in the runtime of {target}")
            latency = self._latency(artifact, target)
            gain = gain_facts(artifact, parent, latency)["gain"]
        return Figures(
            target=target,
            metric=metrics[0].name,
            value=metrics[0].value,
            drop=round(drop_points(metrics, self.reference), _DECIMALS),
            size_bytes=artifact.size_bytes,
            parent_size_bytes=parent.size_bytes,
            latency=latency,
            gain=gain,
        )

    def _latency(self, artifact: Artifact, target: str) -> LatencyRatio:
        self._progress(f"timing {target}", 0, 1)
        parent = self._parents[target].path
        latency = surest_latency(artifact.path, parent, self._timed, seed=self._subject.seed)
        self._progress(f"timing {target}", 1, 1)
        return _rounded(latency)

    def _metrics(self, path: Path, what: str) -> tuple[Metric, ...]:
        return measure(path, self._subject.task, self._subject.validation, self._progress, what).metrics

    def _lower(self, source: Artifact, target: str, recipe: Recipe, folder: Path) -> Artifact:
        self._progress(f"lowering to {target}", 0, 1)
        calibration = self._subject.calibration if recipe.needs_calibration else None
        done = lower_candidate(source, target, recipe, calibration, folder, max_batch=DEFAULT_MAX_BATCH)
        self._progress(f"lowering to {target}", 1, 1)
        return done

    def _lower_parent(self, target: str) -> Artifact:
        folder = Path(self._scratch.name) / f"parent-{target}"
        folder.mkdir()
        return self._lower(self._subject.checkpoint, target, Recipe(), folder)

    def _key(self, made_by: dict[str, Any]) -> str:
        """Hash of everything that decides a cached result, so that none can be stale."""
        whole = {
            **made_by,
            "checkpoint": self._subject.checkpoint.manifest.payload_sha256,
            "validation": self._subject.validation.sha256,
            "calibration": self._subject.calibration.sha256,
            "seed": self._subject.seed,
            "tools": versions_of(("edgewright", "torch", "torch-pruning")),
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def count_macs(checkpoint: Artifact) -> int:
    """Multiply-accumulates of one sample through a checkpoint's network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = load_network(checkpoint.program()).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*example_input(checkpoint.spec, 1))
    # Two operations, a multiplication and an addition, are one multiply-accumulate.
    return max(1, counter.get_total_flops() // 2)


def _seconds(begin: float) -> float:
    return round(time.monotonic() - begin, 1)


def _rounded(latency: LatencyRatio) -> LatencyRatio:
    return replace(
        latency,
        ratio=round(latency.ratio, _DECIMALS),
        low=round(latency.low, _DECIMALS),
        high=round(latency.high, _DECIMALS),
        candidate_ms=round(latency.candidate_ms, _DECIMALS),
        parent_ms=round(latency.parent_ms, _DECIMALS),
    )
