"""Calibration: whether probabilities are as often right as they say, and the one number that mends it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from runtimes import Array

BINS = 15
"""Of confidence, as in Guo et al. 2017."""
SMALLEST, LARGEST = 0.05, 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 60


@dataclass(frozen=True)
class Calibration:
    """What fitting a temperature showed, all on the samples it was fitted to.

    Attributes:
        temperature: What scores are divided by; 1 where none was found.
        why: Why it is 1 all the same; empty where one was found.
        samples: How many it was fitted to.
        log_loss_before: Mean negative log-likelihood at temperature 1.
        log_loss_after: At `temperature`.
        error_before: Expected calibration error at temperature 1.
        error_after: At `temperature`.
    """

    temperature: float
    why: str
    samples: int
    log_loss_before: float
    log_loss_after: float
    error_before: float
    error_after: float

    def to_json(self) -> dict[str, Any]:
        """For an artifact's evidence."""
        tree = {name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(self).items()}
        return tree if self.why else {name: v for name, v in tree.items() if name != "why"}


def fit_temperature(logits: Array, targets: Array) -> Calibration:
    """The temperature with the lowest log loss (Guo et al. 2017, section 4.2).

    Without a wrong answer among the samples the loss falls for ever as the temperature does, and without
    any better than chance as it rises: the samples do not say how sure the network may be, and it stays at 1.

    Args:
        logits: Scores before softmax, float32 (V, N, classes) for V views whose probabilities are averaged.
        targets: Class indices, int64 (N,).
    """
    logits = logits.astype(np.float64)
    found = _lowest(lambda log_t: log_loss(softmax(logits, math.exp(log_t)), targets))
    inside = SMALLEST * 1.01 < found < LARGEST / 1.01
    wrong = int((softmax(logits, 1.0).argmax(axis=1) != targets).sum())
    why = ""
    if not wrong:
        why = "no wrong answer among the samples"
    elif not inside:
        why = f"no optimum between {SMALLEST:g} and {LARGEST:g}"
    temperature = 1.0 if why else round(found, 4)
    before, after = softmax(logits, 1.0), softmax(logits, temperature)
    return Calibration(
        temperature,
        why,
        len(targets),
        log_loss(before, targets),
        log_loss(after, targets),
        calibration_error(before, targets),
        calibration_error(after, targets),
    )


def softmax(logits: Array, temperature: float) -> Array:
    """Probabilities (N, classes), averaged over views, of logits (V, N, classes)."""
    scaled = logits / temperature
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: Array = (raised / raised.sum(axis=-1, keepdims=True)).mean(axis=0)
    return shares


def log_loss(probabilities: Array, targets: Array) -> float:
    """Mean negative log-likelihood of class indices int64 (N,)."""
    of_truth = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(of_truth, 1e-300)).mean())


def calibration_error(probabilities: Array, targets: Array) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over `BINS` bins of confidence."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    pair = torch.from_numpy(probabilities.astype(np.float64)), torch.from_numpy(targets)
    return float(
        multiclass_calibration_error(*pair, num_classes=probabilities.shape[1], n_bins=BINS, norm="l1")
    )


def _lowest(function: Any) -> float:
    """Golden-section search on the logarithm of the temperature, in which one view's loss has one valley."""
    low, high = math.log(SMALLEST), math.log(LARGEST)
    for _ in range(_STEPS):
        first, second = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if function(first) <= function(second):
            high = second
        else:
            low = first
    return math.exp((low + high) / 2)
