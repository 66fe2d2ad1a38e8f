"""What a study tries next: a function of its seed, the trial's number and the trials before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler, TPESampler

from train.study_storage import trial_seed
from train.tune_space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

DRAWN_TRIALS = 6
"""Below this many finished trials a model of them says nothing, and values are drawn."""


class SeededSampler(BaseSampler):
    """Optuna's tree-structured Parzen estimator, with a generator of its own for every trial.

    A search that was stopped goes on as it would have gone on, and processes that share a study and a seed
    draw different values.

    Args:
        space: What is searched.
        seed: Of the study.
        first: Values of the first trial; None draws them.
    """

    def __init__(self, space: Space, seed: int, first: Mapping[str, Any] | None) -> None:
        self._distributions = {knob.name: knob.distribution() for knob in space.knobs}
        self._seed = seed
        self._first = first

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All knobs for the first trial; else what the estimator models together."""
        if self._is_first(trial):
            return self._distributions
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The first trial's values, or the estimator's."""
        if self._is_first(trial):
            return dict(self._first or {})
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The estimator's value of one knob."""
        return self._of(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing is remembered here."""

    def _is_first(self, trial: FrozenTrial) -> bool:
        return trial.number == 0 and self._first is not None

    def _of(self, trial: FrozenTrial, *words: str) -> TPESampler:
        number = trial.number if not words else trial.number + 1_000_003 * sum(map(ord, "".join(words)))
        return TPESampler(n_startup_trials=DRAWN_TRIALS, seed=trial_seed(self._seed, number))
