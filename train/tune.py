"""Search over training options: trials of a study that any number of processes may share."""

from __future__ import annotations

import gc
import hashlib
import math
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import DataError, EdgewrightError, UsageError
from runtimes.errors import first_line
from train.loop import Say
from train.options import TrainOptions, make_options, shared_options
from train.tasks import get_task
from train.tune_pruners import make_pruner
from train.tune_report import write_report
from train.tune_space import actions_of, make_space, words_of
from train.tune_study import Claim, SharedStudy, TakenOverError
from train.tune_trial import PrunedError, TrialRunner, artifact_of, continued, run_trial, without_state

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STUDY_FILE = "study.journal"
_LOOK_AGAIN_S = 2.0
"""While other processes work on the last trials."""


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        task: Whose options.
        data: Where its data lies.
        out: Folder for the trials' runs and the report.
        given: Options that every trial has, as `train.options.make_options` takes them; None is not given.
        space: Knobs as people write them; none is the task's own choice.
        trials: How many the study has in the end, those of earlier and of other processes included.
        storage: A file, or a database's URL; None is a file in `out`.
        study: Its name; None is the task's.
        pruner: One of `train.tune_pruners.PRUNERS`.
        timeout_s: After so many seconds no trial is begun; None for no such bound.
        patience_s: A process of another machine that was not heard of for so long is given up.
    """

    task: str
    data: Path
    out: Path
    given: Mapping[str, Any]
    space: tuple[str, ...] = ()
    trials: int = 20
    storage: str | None = None
    study: str | None = None
    pruner: str = "median"
    timeout_s: float | None = None
    patience_s: float = 60.0


@dataclass(frozen=True)
class Tuned:
    """What a search has found so far.

    Attributes:
        study: Its name.
        metric: Name of the headline metric.
        trials: All that count, in their order.
        best: The best of those that ran to their end; None where none did.
        command: What trains with its options, ready to paste; empty where there is none.
        checkpoint: Its artifact, where it lies on this machine.
        out: Folder with the report.
    """

    study: str
    metric: str
    trials: tuple[FrozenTrial, ...]
    best: FrozenTrial | None
    command: str
    checkpoint: Path | None
    out: Path


class Tuner:
    """One process's work on a search.

    Args:
        search: What to search.
        say: Takes lines for a person; None is silent.
        run: What trains.

    Raises:
        UsageError: An option makes no sense, or the study is of something else.
        DataError: The data cannot be used.
    """

    def __init__(self, search: Search, say: Say | None = None, run: TrialRunner = run_trial) -> None:
        self.search, self._say, self._run = search, say or (lambda _line: None), run
        self.task = get_task(search.task)
        self.plain = make_options(search.task, search.data, search.out, **self._general())
        _require_searchable(self.plain)
        self.space = make_space(self.task, search.space, search.given, self.plain)
        self.pruner = make_pruner(search.pruner, self.plain.folds or self.plain.epochs)
        data = _fingerprint(self.plain.data)
        search.out.mkdir(parents=True, exist_ok=True)
        self.study = self._open(data)

    def _open(self, data: str) -> SharedStudy:
        search, plain = self.search, self.plain
        searched = {knob.name for knob in self.space.knobs}
        told = {name: value for name, value in shared_options(plain).items() if name not in searched}
        return SharedStudy(
            search.storage or search.out / STUDY_FILE,
            search.study or search.task,
            self.space,
            {**told, "data": data, "space": self.space.text, "metric": self.task.metric},
            mode=self.task.mode,
            seed=plain.seed,
            pruner=self.pruner,
            first=self.space.first_values(plain),
            patience_s=search.patience_s,
        )

    def run(self) -> Tuned:
        """Work until the study has its trials, and write the report.

        Raises:
            EdgewrightError: The first trial failed so that every other would.
        """
        begun = time.monotonic()
        waited = False
        while True:
            for number in self.study.take_over():
                self._say(f"trial {number + 1}: its process is gone; its values are tried again")
            counts = self.study.counts()
            late = self.search.timeout_s is not None and time.monotonic() - begun > self.search.timeout_s
            if counts.finished >= self.search.trials or (late and counts.finished > 0):
                break
            claim = self.study.claim(self.search.trials)
            if claim is not None:
                self.try_one(claim)
                waited = False
                continue
            if not waited and counts.running:
                self._say(f"{counts.running} of the last trials are with other processes: waiting for them")
            waited = True
            time.sleep(_LOOK_AGAIN_S)
        return self.tell()

    def try_one(self, claim: Claim) -> None:
        """Train with a trial's values, and close it."""
        self._say(f"trial {claim.number + 1} of {self.search.trials}: {self.space.line(claim.values)}")
        with claim.beating():
            try:
                self.close(claim, self._run(self.task, self.options(claim), claim.report))
            except PrunedError:
                self.close_pruned(claim)
            except TakenOverError as error:
                self._say(f"  {error}")
            except (EdgewrightError, RuntimeError, ArithmeticError, MemoryError) as error:
                message = str(error) if isinstance(error, EdgewrightError) else first_line(error)
                self.close_failed(claim, message)
                if isinstance(error, EdgewrightError) and not self._any_value():
                    raise
            finally:
                gc.collect()

    def close(self, claim: Claim, value: float) -> None:
        """A trial has run to its end."""
        if not math.isfinite(value):
            self.close_failed(claim, f"{self.task.metric} is not a number: it diverged")
            return
        claim.finish(value)
        without_state(self.folder(claim.number))
        best = best_of(self.study.trials(), self.task.mode)
        so_far = "" if best is None else f"; best so far {best.value:.4f}, trial {best.number + 1}"
        self._say(f"  trial {claim.number + 1}: {self.task.metric} {value:.4f}{so_far}")

    def close_pruned(self, claim: Claim) -> None:
        """A trial was ended early; nothing of its run is kept."""
        claim.prune()
        shutil.rmtree(self.folder(claim.number), ignore_errors=True)
        self._say(f"  trial {claim.number + 1}: stopped early, others were better by then")

    def close_failed(self, claim: Claim, message: str) -> None:
        """A trial failed by itself."""
        claim.fail(message)
        self._say(f"  trial {claim.number + 1} failed: {message}")

    def tell(self) -> Tuned:
        """What was found so far; written to the folder, too."""
        trials = tuple(self.study.trials())
        best = best_of(trials, self.task.mode)
        command = "" if best is None else self._command(best.params)
        checkpoint = None if best is None else artifact_of(self.folder(best.number))
        tuned = Tuned(self.study.name, self.task.metric, trials, best, command, checkpoint, self.search.out)
        write_report(tuned, self.task.mode, [knob.name for knob in self.space.knobs])
        return tuned

    def options(self, claim: Claim) -> TrainOptions:
        """Of a trial's run, which goes on where that of a process that died has stopped."""
        told = {**self._general(), **self.space.options(claim.values)}
        options = make_options(self.search.task, self.search.data, self.folder(claim.number), **told)
        return options if claim.took_over is None else continued(options, self.folder(claim.took_over))

    def folder(self, number: int) -> Path:
        """Of one trial's run."""
        return self.search.out / f"trial-{number + 1:04d}"

    def _any_value(self) -> bool:
        return any(trial.value is not None for trial in self.study.trials())

    def _general(self) -> dict[str, Any]:
        return {name: value for name, value in self.search.given.items() if value is not None}

    def _command(self, values: Mapping[str, Any]) -> str:
        words = words_of(actions_of(self.task), {**self._general(), **self.space.options(values)})
        data = shlex.quote(str(self.search.data))
        folds = [] if self.plain.folds is None else ["--folds", str(self.plain.folds)]
        return " ".join(["edgewright train", self.search.task, "--data", data, *folds, *words])


def tune(search: Search, say: Say | None = None) -> Tuned:
    """Work on a search until its study has its trials; other processes may do the same.

    Args:
        search: What to search. Called again, it goes on with the same study.
        say: Takes lines for a person; None is silent.

    Raises:
        UsageError: An option makes no sense, or the study is of something else.
        DataError: The data cannot be used.
    """
    tuner = Tuner(search, say)
    try:
        return tuner.run()
    finally:
        tuner.study.close()


def _require_searchable(options: TrainOptions) -> None:
    for name in ("resume", "overwrite"):
        if getattr(options, name):
            raise UsageError(f"Option --{name}", got="it for a search", fix="Leave it out.",
                             expected="the same command again: a search goes on by itself")  # fmt: skip
    if options.devices > 1:
        raise UsageError(
            "Option --devices",
            got=f"{options.devices} for a search",
            expected="one process for each trial",
            fix="Leave it out, and start the same command several times.",
        )


def _fingerprint(data: Path) -> str:
    """Hash of the names and sizes of all files: the same on every machine, and there before anything is read.

    Raises:
        DataError: There is nothing.
    """
    files = [data] if data.is_file() else sorted(path for path in data.rglob("*") if path.is_file())
    if not files:
        raise DataError(f"Data {data.name!r}", got="nothing there", expected="the task's data",
                        fix="Check the path of --data.")  # fmt: skip
    root = data.parent if data.is_file() else data
    names = "".join(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n" for path in files)
    return hashlib.sha256(names.encode()).hexdigest()


def best_of(trials: tuple[FrozenTrial, ...] | list[FrozenTrial], mode: str) -> FrozenTrial | None:
    """The best trial that ran to its end, the earlier of two that are equal."""
    from optuna.trial import TrialState

    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    sign = -1 if mode == "max" else 1
    return min(ended, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)
