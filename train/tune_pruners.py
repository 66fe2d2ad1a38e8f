"""When a trial is ended early."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

PRUNERS = ("median", "hyperband", "none")
_FIRST_TRIALS = 4
"""So many run to their end before the median of them says anything."""
_FACTOR = 3


def make_pruner(name: str, steps: int) -> BasePruner:
    """A pruner of Optuna's.

    Args:
        name: One of `PRUNERS`. ``median`` ends a trial that is worse than half of the others were at the same
            epoch; ``hyperband`` lets a third of the trials of a bracket go on at a time (Li et al. 2018).
        steps: Epochs, or folds, of a whole trial.
    """
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=max(1, steps), reduction_factor=_FACTOR)
    if name == "median":
        # A rate that still rises says little: the first third is left alone.
        return MedianPruner(n_startup_trials=_FIRST_TRIALS, n_warmup_steps=max(1, steps // 3))
    return NopPruner()
