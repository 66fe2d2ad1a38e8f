"""A study that several processes share: each trial is claimed by one of them, and none is lost.

How many trials a study has is said in advance. A process claims the next one where fewer are begun. Two that
do so at once get different numbers, and the one whose number is one too many gives it back. Trials of
processes that were killed are taken over: they are closed, and their values wait to be tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import EdgewrightError
from train.study_storage import open_study, set_identity
from train.tune_sampler import SeededSampler
from train.tune_space import Space
from train.tune_workers import BEAT, WORKER, Heartbeat, Watchman, is_here, signature

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FAILURE, SURPLUS, AFTER = "failure", "surplus", "takes over"
MOST_TRIES = 3
"""Processes that may die with the same values before these are given up."""
_OTHER = "Choose another --study, --storage or --out."


class TakenOverError(EdgewrightError):
    """Another process holds this one for dead, and has its trial."""


@dataclass(frozen=True)
class Counts:
    """How far a study is.

    Attributes:
        finished: Trials that ended: with a value, stopped early, or failed of themselves.
        running: Those that some process works on.
        waiting: Those that wait for a process to take them over.
    """

    finished: int
    running: int
    waiting: int


class Claim:
    """A trial that this process works on.

    Attributes:
        number: In the study, from 0.
        values: By the name of the knob.
        took_over: Number of the trial that a process of this machine died with; None for a new one, or where
            that was elsewhere.
    """

    def __init__(self, study: SharedStudy, trial: optuna.Trial, values: Mapping[str, Any]) -> None:
        self._study, self._trial = study, trial
        self.number = trial.number
        self.values = dict(values)
        earlier = trial.user_attrs.get(AFTER)
        self.took_over = None if earlier is None or not is_here(earlier["worker"]) else int(earlier["number"])
        # Of the process before: those epochs are not told again.
        self._told = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Show that this process lives, for the length of a with-block."""
        with Heartbeat(lambda count: self._trial.set_user_attr(BEAT, count)):
            yield

    def report(self, value: float, step: int) -> bool:
        """Tell how good the trial is so far.

        Args:
            value: Of the headline metric.
            step: Epoch, or fold.

        Returns:
            Whether the trial should end here: others were better at this step.

        Raises:
            TakenOverError: Another process has it.
        """
        with _as_ours(self.number):
            if step not in self._told:
                self._trial.report(value, step)
            return bool(self._trial.should_prune())

    def finish(self, value: float) -> None:
        """The trial is done."""
        self._study.end(self.number, value=value)

    def prune(self) -> None:
        """The trial was ended early."""
        self._study.end(self.number, pruned=True)

    def fail(self, message: str) -> None:
        """The trial failed by itself, as it would again."""
        with _as_ours(self.number):
            self._trial.set_user_attr(FAILURE, message)
        self._study.end(self.number)


class SharedStudy:
    """One study, seen from one of its processes.

    Args:
        storage: As for `train.study_storage.open_study`.
        name: Of the study.
        space: What it tries.
        identity: What it belongs to: JSON data by name.
        mode: ``max`` or ``min``.
        seed: Of all proposals.
        pruner: Of Optuna's.
        first: Values of the first trial; None draws them.
        patience_s: A trial of another machine whose process was not heard of for so long is taken over.

    Raises:
        UsageError: The storage cannot be used, or the study is of something else.
    """

    def __init__(
        self,
        storage: str | Path,
        name: str,
        space: Space,
        identity: Mapping[str, Any],
        *,
        mode: str,
        seed: int,
        pruner: optuna.pruners.BasePruner,
        first: Mapping[str, Any] | None,
        patience_s: float,
    ) -> None:
        self._space = space
        self._watchman = Watchman(patience_s)
        self._study = open_study(
            storage,
            name,
            direction="maximize" if mode == "max" else "minimize",
            sampler=SeededSampler(space, seed, first),
            pruner=pruner,
        )
        set_identity(self._study, dict(identity), _OTHER)

    @property
    def name(self) -> str:
        """Of the study."""
        return self._study.study_name

    def trials(self) -> list[FrozenTrial]:
        """Trials that count, in their order: without those that were given back or taken over."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if _counts(trial)]

    def counts(self) -> Counts:
        """How far the study is."""
        from optuna.trial import TrialState

        states = [trial.state for trial in self.trials()]
        running, waiting = states.count(TrialState.RUNNING), states.count(TrialState.WAITING)
        return Counts(len(states) - running - waiting, running, waiting)

    def take_over(self) -> list[int]:
        """Close the trials of processes that are gone, and let their values wait to be tried again.

        Returns:
            Their numbers.
        """
        from optuna.trial import TrialState

        taken = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._watchman.is_lost(trial.number, trial.user_attrs) and self._close(trial):
                taken.append(trial.number)
        return taken

    def claim(self, total: int) -> Claim | None:
        """The next trial for this process; None where as many as there should be are begun.

        Args:
            total: How many the study has in the end.
        """
        counts = self.counts()
        if counts.finished + counts.running >= total:
            return None
        trial = self._study.ask()
        trial.set_user_attr(WORKER, signature())
        numbers = [one.number for one in self.trials()]
        if numbers.index(trial.number) >= total:
            trial.set_user_attr(SURPLUS, True)
            self.end(trial.number)
            return None
        return Claim(self, trial, {knob.name: knob.suggested(trial) for knob in self._space.knobs})

    def end(self, number: int, *, value: float | None = None, pruned: bool = False) -> None:
        """Close a trial of this process: with a value, as stopped early, or as failed.

        Raises:
            TakenOverError: Another process has it.
        """
        from optuna.trial import TrialState

        state = TrialState.PRUNED if pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
        with _as_ours(number):
            self._study.tell(number, value, state=state)

    def close(self) -> None:
        """Let go of the storage."""
        self._study._storage.remove_session()

    def _close(self, trial: FrozenTrial) -> bool:
        """Close a trial whose process is gone; whether it was this process that did."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState, create_trial

        earlier = trial.user_attrs.get(AFTER, {"tries": 0})
        tries = int(earlier["tries"]) + 1
        given_up = tries >= MOST_TRIES
        try:
            # Its own process, if it lives after all, or another one may have ended it meanwhile.
            if given_up:
                message = f"the process that tried it died, {tries} times"
                self._study._storage.set_trial_user_attr(trial._trial_id, FAILURE, message)
            self._study.tell(trial.number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            return False
        if given_up:
            return True
        told = {"number": trial.number, "worker": trial.user_attrs.get(WORKER), "tries": tries}
        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={AFTER: told},
                intermediate_values=trial.intermediate_values,
            )
        )
        return True


def _counts(trial: FrozenTrial) -> bool:
    from optuna.trial import TrialState

    return trial.state != TrialState.FAIL or FAILURE in trial.user_attrs


@contextmanager
def _as_ours(number: int) -> Iterator[None]:
    from optuna.exceptions import UpdateFinishedTrialError

    try:
        yield
    except (UpdateFinishedTrialError, ValueError) as error:
        raise TakenOverError(
            f"Trial {number}",
            got="it in the hands of another process, which held this one for dead",
            expected="a process that is heard of",
            fix="Raise --patience if this machine is often stopped.",
        ) from error
