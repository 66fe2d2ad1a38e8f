"""Search under a budget: explore, measure, keep the Pareto set, prove what was chosen."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.compress_choice import Choice, Limits, best_so_far, choose
from export.compress_measure import Bench, Subject
from export.compress_progress import SearchProgress
from export.compress_setup import identity_of, require_usable, space_of, subject_of
from export.lowering import lowerings_for
from export.pareto import pareto_json, pareto_png
from export.pipeline import export_artifacts
from export.recipe import FP32
from export.study import Study
from export.trial import Trial
from runtimes import ProofError
from sdk.artifact import Artifact, read_artifact
from sdk.atomic_write import atomic_write
from sdk.codec import to_json

PARETO_FILE, PLOT_FILE, WORK_FOLDER = "pareto.json", "pareto.png", "work"
DEFAULT_TRIALS = 12


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        checkpoint: Written by `edgewright train`.
        data: The task's data, with a test split.
        targets: Such as ``onnx``.
        limits: What the chosen artifacts must hold.
        out: Folder for the study and the artifacts.
        trials: How many the study has in the end, those of earlier runs included.
        timeout_s: After so many seconds no trial is begun; None for no such bound.
        seed: Of everything that draws.
        overwrite: Replace artifacts, and a study of something else.
    """

    checkpoint: Path
    data: Path
    targets: tuple[str, ...]
    limits: Limits
    out: Path
    trials: int = DEFAULT_TRIALS
    timeout_s: float | None = None
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes:
        trials: All finished ones.
        artifacts: By target: the chosen artifact under its final name, and whose it is.
    """

    trials: list[Trial]
    artifacts: dict[str, tuple[Trial, Artifact]]


def compress(search: Search, progress: SearchProgress) -> Found:
    """Search, and write the chosen artifacts. Either there is one for every target, or none is written.

    Args:
        search: What to search. Called again, it goes on with the same study.
        progress: Shows what is being done.

    Raises:
        ProofError: No candidate meets the budget; the study and the Pareto set are there.
        UsageError: An option makes no sense, files are in the way, or the study is of something else.
        DataError: The data cannot be used, or has no split to prove on that the choice has not seen.
        EngineError: A target cannot be lowered to or run on this machine.
    """
    lowerings = lowerings_for(search.targets, FP32)
    checkpoint = read_artifact(search.checkpoint)
    require_usable(checkpoint, search.out, lowerings, search.overwrite)
    subject = subject_of(checkpoint, search.data, search.targets, search.seed)
    search.out.mkdir(parents=True, exist_ok=True)
    space = space_of(checkpoint, lowerings)
    identity = identity_of(subject, space)
    with (
        Study(search.out, identity, space, search.seed, overwrite=search.overwrite) as study,
        _bench(subject, search.out / WORK_FOLDER, progress) as bench,
    ):
        _explore(study, bench, search, progress)
        trials, record = study.trials, _record(subject, bench, search)
        try:
            choices = _choose(trials, bench, search, progress)
        except ProofError:
            _write_pareto(trials, search, record, {})
            raise
        _write_pareto(trials, search, record, choices)
    return Found(trials, {target: (choice.trial, choice.artifact) for target, choice in choices.items()})


@contextmanager
def _bench(subject: Subject, work: Path, progress: SearchProgress) -> Iterator[Bench]:
    work.mkdir(exist_ok=True)
    # What an earlier run that was killed could not clean up.
    for left in [*work.glob("trial-*"), *work.glob("pruning-*"), *work.glob("proof-*")]:
        shutil.rmtree(left, ignore_errors=True)
    bench = Bench(subject, work, progress.step)
    try:
        yield bench
    finally:
        bench.close()


def _explore(study: Study, bench: Bench, search: Search, progress: SearchProgress) -> None:
    begin = time.monotonic()
    done = study.trials
    progress.resumed(done, search.trials)
    while len(done) < search.trials:
        left_s = None if search.timeout_s is None else search.timeout_s - (time.monotonic() - begin)
        proposal = study.next()
        # The first is measured whatever the time: without it there is nothing to say.
        if proposal is None or (done and left_s is not None and left_s <= 0):
            return
        number, candidate = proposal
        progress.begin(number, search.trials, candidate, left_s)
        trial = bench.run(number, candidate)
        study.finish(trial)
        done = study.trials
        progress.finish(trial, best_so_far(done, search.targets, search.limits))


def _choose(trials: list[Trial], bench: Bench, search: Search, progress: SearchProgress) -> dict[str, Choice]:
    """Prove in a folder of its own; only when every target has an artifact do they get their final names."""
    work = search.out / WORK_FOLDER
    with tempfile.TemporaryDirectory(prefix="proof-", dir=work) as folder:

        def prove(trial: Trial, target: str) -> Artifact:
            source = bench.checkpoint(trial.candidate)
            (exported,) = export_artifacts(
                source,
                [target],
                recipe=bench.recipe(trial.candidate),
                data=search.data,
                out=Path(folder),
                max_drop=search.limits.max_drop,
                overwrite=True,
                progress=progress.step,
                parent=search.checkpoint if trial.candidate.pruned_percent else None,
            )
            return exported.artifact

        chosen = {
            target: choose(trials, target, search.limits, prove, lambda: bench.worst_layers)
            for target in search.targets
        }
        for choice in chosen.values():
            choice.artifact.path.replace(search.out / choice.artifact.path.name)
    return {
        target: Choice(choice.trial, read_artifact(search.out / choice.artifact.path.name), choice.refused)
        for target, choice in chosen.items()
    }


def _record(subject: Subject, bench: Bench, search: Search) -> dict[str, Any]:
    return {
        "checkpoint": {
            "file": subject.checkpoint.path.name,
            "payload_sha256": subject.checkpoint.manifest.payload_sha256,
        },
        "seed": search.seed,
        "limits": to_json(search.limits),
        "measured_on": to_json(bench.reference[0]) | {"data_sha256": subject.validation.sha256},
        "calibration": {
            "split": subject.calibration.split,
            "samples": len(subject.calibration.items),
            "data_sha256": subject.calibration.sha256,
        },
    }


def _write_pareto(
    trials: list[Trial], search: Search, record: dict[str, Any], choices: Mapping[str, Choice]
) -> None:
    chosen = {
        target: {
            "number": choice.trial.number,
            "file": choice.artifact.path.name,
            "proved_on": to_json(choice.artifact.manifest.evidence.metrics[0]),
            "refused_in_proof": list(choice.refused),
        }
        for target, choice in choices.items()
    }
    atomic_write(search.out / PARETO_FILE, pareto_json(trials, search.targets, record, chosen))
    numbers = {target: choice.trial.number for target, choice in choices.items()}
    atomic_write(search.out / PLOT_FILE, pareto_png(trials, search.targets, numbers, search.limits.max_drop))
