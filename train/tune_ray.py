"""Ray Tune as the engine of a search: it carries the trials out, on a cluster or side by side on one machine.

What is tried, what ends early and what is kept is the study's to say, as without Ray: the same proposals, the
same pruners, the same report, and processes without Ray may work on the same study. Ray starts the trials
where there is room, and starts again what died.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

# Read when Ray is imported: nothing about the search is sent anywhere, and no second set of logs is written.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

try:
    import ray
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher
except ImportError as error:
    from runtimes import EngineMissingError

    raise EngineMissingError(
        "Option --engine ray",
        got="no Ray",
        expected="the package ray with its extra tune",
        fix='Install it: pip install "edgewright[distributed]", or leave --engine out.',
    ) from error

from runtimes import EdgewrightError, EngineError
from runtimes.errors import first_line
from train.loop import Say
from train.options import TrainOptions
from train.run_folder import RunFolder
from train.tasks import get_task
from train.tune import Search, Tuned, Tuner
from train.tune_study import MOST_TRIES, Claim, TakenOverError
from train.tune_trial import PrunedError, run_trial

_VALUE, _STEP, _FINAL, _FAILURE = "value", "step", "final", "failure"
_STORE = "ray"


def tune_with_ray(search: Search, workers: int | None = None, say: Say | None = None) -> Tuned:
    """Work on a search with Ray until its study has its trials.

    Args:
        search: What to search. Folders must be reachable under the same path wherever Ray runs trials.
        workers: Trials at the same time; None is as many as Ray has room for.
        say: Takes lines for a person; None is silent.

    Raises:
        EngineMissingError: Ray is not installed.
        UsageError: As `train.tune.tune`.
    """
    tuner = Tuner(search, say)
    store = search.out / _STORE
    begun_here = not ray.is_initialized()
    if begun_here:
        _begin()
    try:
        bridge = _Bridge(tuner)
        ray_tuner = tune.Tuner(
            tune.with_resources(_train_one, _room()),
            tune_config=tune.TuneConfig(
                search_alg=bridge,
                scheduler=_Scheduler(bridge),
                num_samples=-1,
                max_concurrent_trials=workers,
                trial_name_creator=_name_of,
                trial_dirname_creator=_name_of,
            ),
            run_config=tune.RunConfig(
                name=search.study or search.task,
                storage_path=str(store),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MOST_TRIES - 1),
            ),
        )
        ray_tuner.fit()
        return tuner.tell()
    finally:
        tuner.study.close()
        if begun_here:
            ray.shutdown()
        shutil.rmtree(store, ignore_errors=True)


def _begin() -> None:
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray raises plain ones
        raise EngineError(
            "Ray",
            got=f"no start ({first_line(error)})",
            expected="a cluster, or one on this machine",
            fix="Check RAY_ADDRESS, try again on a machine that is less busy, or leave --engine out.",
        ) from error


class _Bridge(Searcher):  # type: ignore[misc]
    """The study as Ray sees it: where configurations come from, and where results go.

    Args:
        tuner: Whose study it is.
    """

    def __init__(self, tuner: Tuner) -> None:
        super().__init__(metric=_VALUE, mode="max")
        self._tuner = tuner
        self._begun = time.monotonic()
        self._held: dict[str, tuple[Claim, ExitStack]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray keeps a copy of its search on disk, and the study is kept elsewhere."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's options; None while all of them are begun, and the end when all have ended."""
        search, study = self._tuner.search, self._tuner.study
        study.take_over()
        late = search.timeout_s is not None and time.monotonic() - self._begun > search.timeout_s
        counts = study.counts()
        if counts.finished >= search.trials or (late and not self._held and counts.finished):
            return Searcher.FINISHED
        claim = None if late and counts.finished else study.claim(search.trials)
        if claim is None:
            return None
        stack = ExitStack()
        stack.enter_context(claim.beating())
        self._held[trial_id] = claim, stack
        return {"number": claim.number, "options": self._tuner.options(claim)}

    def falls_behind(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Tell the study of an epoch; whether the trial should end there."""
        if trial_id not in self._held or _STEP not in result or _FINAL in result:
            return False
        try:
            return self._held[trial_id][0].report(float(result[_VALUE]), int(result[_STEP]))
        except TakenOverError:
            return True

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Was told by the scheduler, which can end a trial."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close the trial in the study."""
        claim, stack = self._held.pop(trial_id)
        stack.close()
        told = result or {}
        if error or _FAILURE in told:
            self._tuner.close_failed(claim, told.get(_FAILURE, f"its process died, {MOST_TRIES} times"))
        elif _FINAL in told:
            self._tuner.close(claim, float(told[_VALUE]))
        else:
            self._tuner.close_pruned(claim)

    def save(self, checkpoint_path: str) -> None:
        """The study is kept elsewhere."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """The study is kept elsewhere."""


class _Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Ends the trials that the study's pruner would end.

    Args:
        bridge: To the study.
    """

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as `_Bridge` has nothing."""
        return {}

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        behind = self._bridge.falls_behind(trial.trial_id, result)
        decision: str = self.STOP if behind else self.CONTINUE
        return decision


def _train_one(config: dict[str, Any]) -> None:
    """One trial, in a process of Ray's; every figure passes through `tune.report`."""
    options: TrainOptions = config["options"]
    begun = RunFolder(options.out).record.is_file() or (options.out / "folds.json").is_file()
    options = replace(options, resume=begun)

    def report(value: float, step: int) -> bool:
        tune.report({_VALUE: value, _STEP: step})
        return False

    try:
        value = run_trial(get_task(options.task), options, report)
        tune.report({_VALUE: value, _FINAL: True})
    except PrunedError:
        return
    except (EdgewrightError, RuntimeError, ArithmeticError, MemoryError) as error:
        message = str(error) if isinstance(error, EdgewrightError) else first_line(error)
        tune.report({_VALUE: 0.0, _FAILURE: message})


def _room() -> dict[str, float]:
    """What a trial takes: a GPU where the cluster has some, else a core."""
    return {"cpu": 1.0, "gpu": 1.0} if ray.cluster_resources().get("GPU") else {"cpu": 1.0}


def _name_of(trial: Any) -> str:
    return f"trial-{trial.config['number'] + 1:04d}"
