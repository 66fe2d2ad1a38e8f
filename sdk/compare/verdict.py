"""Verdicts: what a ratio's interval allows to be said about each metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes import Array, UsageError
from sdk.compare.rounds import LaunchRecord
from sdk.compare.statistics import Ratio, block_figures, fastest_runs, paired_ratio, unpaired_ratio

PASS, REGRESSION, UNDECIDED = "pass", "regression", "undecided"
EXIT_CODES = {PASS: 0, REGRESSION: 1, UNDECIDED: 2}
SURE, SURER = 0.99, 0.998
"""Medians, tails and cold starts are made by the machine as much as by the artifact: wider intervals."""


@dataclass(frozen=True)
class Metric:
    """One thing that may get worse.

    Attributes:
        name: As reports call it.
        unit: Of `figures`.
        max_ratio: The ratio from which on it is a regression.
        figures: (launches, n) of records: a figure per block, per fast prediction, or one per launch.
        what: What the figure is, in words.
        confidence: Of its interval.
        within: Quantile of a launch's figures that stands for the launch.
        midway: Whether an estimate nearer to `max_ratio` than to 1 is a regression; else it must be past
            `max_ratio`: for noisy metrics, which no rounds are added for.
    """

    name: str
    unit: str
    max_ratio: float
    figures: Callable[[Sequence[LaunchRecord]], Array]
    what: str
    confidence: float = SURER
    within: float = 0.5
    midway: bool = False


@dataclass(frozen=True)
class Limits:
    """Largest ratio of each metric that is no regression.

    Attributes:
        latency: Of one prediction, undisturbed; also of the median of many.
        tail: Of its 90th percentile.
        cold_start: Of the time from process start to first result.
        memory: Of peak resident memory.
        size: Of the file.
    """

    latency: float = 1.05
    tail: float = 1.25
    cold_start: float = 1.25
    memory: float = 1.10
    size: float = 1.10

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, (int, float)) or not 1 < value < 100:
                raise UsageError(
                    f"Largest ratio of the {name.replace('_', ' ')}",
                    got=repr(value),
                    expected="a number above 1, such as 1.05 for five per cent",
                    fix="Write how many times the baseline's figure is still acceptable.",
                )


@dataclass(frozen=True)
class Verdict:
    """What can be said of one metric.

    Attributes:
        metric: Its name.
        verdict: ``pass``, ``regression`` or ``undecided``.
        ratio: Candidate over baseline with its interval.
        max_ratio: From which ratio on it is a regression.
        baseline: The baseline's figure, in `unit`.
        candidate: The candidate's.
        unit: ``ms``, ``MB``.
        what: What the figure is.
    """

    metric: str
    verdict: str
    ratio: Ratio
    max_ratio: float
    baseline: float
    candidate: float
    unit: str
    what: str

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {**vars(self), "ratio": vars(self.ratio)}


def measured_metrics(limits: Limits) -> tuple[Metric, ...]:
    """The metrics that are measured on launches, the one that ends a comparison first."""
    fastest = "the fastest prediction of a launch"
    median = "the median prediction, in the middle block of a launch"
    tail = "the 90th percentile of predictions, in the middle block of a launch"
    start, memory = "process start to first result", "peak resident memory of the process"
    return (
        Metric("latency", "ms", limits.latency, _fastest_ms, fastest, SURE, within=0.0, midway=True),
        Metric("median", "ms", limits.latency, _medians_ms, median, midway=True),
        Metric("tail", "ms", limits.tail, _tails_ms, tail),
        Metric("cold start", "ms", limits.cold_start, _cold_starts_ms, start),
        Metric("memory", "MB", limits.memory, _memory_mb, memory),
    )


def _fastest_ms(records: Sequence[LaunchRecord]) -> Array:
    return 1e3 * fastest_runs(records)


def _medians_ms(records: Sequence[LaunchRecord]) -> Array:
    return 1e3 * block_figures(records, 0.5)


def _tails_ms(records: Sequence[LaunchRecord]) -> Array:
    return 1e3 * block_figures(records, 0.9)


def _cold_starts_ms(records: Sequence[LaunchRecord]) -> Array:
    return 1e3 * np.array([[record.cold_start_s] for record in records])


def _memory_mb(records: Sequence[LaunchRecord]) -> Array:
    return 1e-6 * np.array([[record.peak_rss_bytes] for record in records], np.float64)


def judge(
    metric: Metric, baseline: Sequence[LaunchRecord], candidate: Sequence[LaunchRecord], *, paired: bool
) -> Verdict:
    """Judge one metric from the launches of both.

    Args:
        metric: What to judge.
        baseline: Two launches or more.
        candidate: As many where `paired`.
        paired: Whether launch i of both ran in the same round.
    """
    figures = metric.figures(baseline), metric.figures(candidate)
    estimate = paired_ratio if paired else unpaired_ratio
    ratio = estimate(*figures, metric.within, metric.confidence, seed=len(baseline))
    before, after = (float(np.median(np.quantile(side, metric.within, axis=1))) for side in figures)
    return Verdict(
        metric.name,
        decide(ratio, metric.max_ratio, midway=metric.midway),
        ratio,
        metric.max_ratio,
        before,
        after,
        metric.unit,
        metric.what,
    )


def decide(ratio: Ratio, max_ratio: float, *, midway: bool = True) -> str:
    """The verdict that an interval allows.

    A ratio of `max_ratio` is what has to be caught, and 1 is what must not raise an alarm. `max_ratio`
    excluded: pass. 1 excluded, and the estimate nearer to `max_ratio` than to 1: regression. Anything else
    is undecided, and more rounds are needed. Without `midway` the estimate must be past `max_ratio` itself:
    for noisy metrics, which no rounds are added for.
    """
    if ratio.high < max_ratio:
        return PASS
    least = math.sqrt(max_ratio) if midway else max_ratio
    return REGRESSION if ratio.low > 1 and ratio.value >= least else UNDECIDED


def judge_size(baseline_bytes: int, candidate_bytes: int, max_ratio: float) -> Verdict:
    """The size of the file is known exactly: a ratio above `max_ratio` is a regression, nothing is unsure."""
    value = candidate_bytes / baseline_bytes
    return Verdict(
        "size",
        PASS if value <= max_ratio else REGRESSION,
        Ratio(value, value, value, 1.0),
        max_ratio,
        baseline_bytes / 1e6,
        candidate_bytes / 1e6,
        "MB",
        "bytes of the file",
    )
