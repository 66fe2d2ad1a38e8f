"""The study: finished trials in a file, and what to try next.

A study is an SQLite file that Optuna (and its dashboard) can open. It holds finished trials only: a trial is
added whole when it ends, in one transaction, so a killed process leaves no half of one, and the trial it was
busy with is done again under its own number. What comes next is a function of the seed, the number and the
finished trials alone. For that the sampler is made anew for every trial, and it sees only what a
repetition gives again: the accuracy drop, and size × multiply-accumulates as the stand-in for latency. A
measured latency would differ by some per cent each time, and with it everything proposed afterwards.
"""

from __future__ import annotations

import fcntl
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from export.search_space import Candidate, Space, distance
from export.trial import Trial
from runtimes import UsageError
from sdk.codec import from_json, to_json
from train.study_storage import open_study, trial_seed

if TYPE_CHECKING:
    import optuna

STUDY_FILE = "study.db"
_NAME = "compress"
_IDENTITY, _TRIAL = "identity", "trial"
_RANDOM_TRIALS = 4
"""Below this many measured trials a model of them says nothing, and the sampler draws."""


class Study:
    """Trials of one search, in a folder. A context manager that keeps other processes out.

    Args:
        folder: Where the study file lies or will lie; must exist.
        identity: What a study belongs to: checkpoint, data, targets, seed. JSON scalars by name.
        space: The candidates.
        seed: Of all proposals.
        overwrite: Begin anew where the folder holds a study of something else.

    Raises:
        UsageError: The folder holds a study of something else, or is in use.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], space: Space, seed: int, *, overwrite: bool = False
    ) -> None:
        self._space, self._seed = space, seed
        self._lock = _lock(folder)
        try:
            self._study = _open(folder / STUDY_FILE, dict(identity), overwrite)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._study._storage.remove_session()
        self._lock.close()

    @property
    def trials(self) -> list[Trial]:
        """Finished trials in their order."""
        return [
            from_json(Trial, json.loads(trial.user_attrs[_TRIAL]), f"{STUDY_FILE}: trial {trial.number}")
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def next(self) -> tuple[int, Candidate] | None:
        """Number and candidate of the next trial; None where every candidate has been tried."""
        done = self.trials
        number, tried = len(done) + 1, {trial.candidate for trial in done}
        for rung in self._space.ladder():
            if rung not in tried:
                return number, rung
        wanted = self._suggestion(number)
        if wanted not in tried:
            return number, wanted
        # The sampler works on a continuum and may come back to a point; its nearest neighbour is as good.
        rest = [candidate for candidate in self._space.all() if candidate not in tried]
        random.Random(trial_seed(self._seed, number)).shuffle(rest)
        nearest = min(rest, key=lambda candidate: distance(candidate, wanted), default=None)
        return None if nearest is None else (number, nearest)

    def finish(self, trial: Trial) -> None:
        """Keep a finished trial, measured or failed."""
        from optuna.trial import TrialState, create_trial

        failed = trial.failure is not None
        self._study.add_trial(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                params=self._space.values(trial.candidate),
                distributions=self._space.distributions(),
                values=None if failed else [max(0.0, trial.drop), trial.cost],
                user_attrs={_TRIAL: json.dumps(to_json(trial))},
            )
        )

    def _suggestion(self, number: int) -> Candidate:
        import optuna

        sampler = optuna.samplers.TPESampler(
            seed=trial_seed(self._seed, number), n_startup_trials=_RANDOM_TRIALS
        )
        copy = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        copy.add_trials(self._study.get_trials(deepcopy=False))
        return self._space.candidate(copy.ask(self._space.distributions()).params)


def _lock(folder: Path) -> IO[bytes]:
    """An open, locked file; the system unlocks it when the process ends, however it ends."""
    file = (folder / ".lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(
            f"Output {folder.name!r}",
            got="a folder that another search is writing to",
            expected="one search per folder",
            fix="Wait for it, or choose another folder with --out.",
        ) from error
    return file


def _open(path: Path, identity: dict[str, Any], overwrite: bool) -> optuna.Study:
    import optuna

    study = _create(path)
    there = study.user_attrs.get(_IDENTITY)
    if there is not None and there != identity:
        if not overwrite:
            unlike = [name for name in identity if there.get(name) != identity[name]] or ["version"]
            raise UsageError(
                f"Study {path.name!r} in {path.parent.name!r}",
                got=f"one with another {', '.join(unlike)}",
                expected="the same search, to go on with it",
                fix="Choose another folder with --out, or begin anew with --overwrite.",
            )
        optuna.delete_study(study_name=_NAME, storage=study._storage)
        study = _create(path)
    # Also where a process was killed between making the study and saying whose it is.
    study.set_user_attr(_IDENTITY, identity)
    return study


def _create(path: Path) -> optuna.Study:
    return open_study(path, _NAME, directions=["minimize", "minimize"])
