"""What was measured of one candidate: the record that the study keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from export.gate import NO_GAIN
from export.latency import LatencyRatio
from export.search_space import Candidate

LATENCY_STEP = 1.1
"""Repeats of one measurement differ by up to a tenth: ratios closer than that count as equal."""


@dataclass(frozen=True)
class Figures:
    """One candidate in one target's runtime, on the validation split.

    Attributes:
        target: Such as ``onnx``.
        metric: Name of the headline metric.
        value: Its value, in the metric's own unit.
        drop: Loss against the checkpoint, in points; negative where the candidate is better.
        size_bytes: Of the whole artifact.
        parent_size_bytes: Of the fp32 artifact of the same target.
        latency: Against that fp32 artifact, measured in turns with it.
        gain: What was gained over it, ``size`` and ``latency`` in words, each such as ``4.0× smaller``
            or ``no gain``.
    """

    target: str
    metric: str
    value: float
    drop: float
    size_bytes: int
    parent_size_bytes: int
    latency: LatencyRatio
    gain: dict[str, str]

    @property
    def latency_step(self) -> int:
        """The latency ratio on a scale of tenths: equal where a measurement cannot tell two apart."""
        return round(math.log(self.latency.ratio) / math.log(LATENCY_STEP))

    @property
    def size_ratio(self) -> float:
        """Size as a share of the parent's."""
        return self.size_bytes / self.parent_size_bytes

    @property
    def no_gain(self) -> bool:
        """Whether it is neither faster nor smaller than the fp32 artifact."""
        return all(words == NO_GAIN for words in self.gain.values())


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Attributes:
        number: From 1, without gaps.
        candidate: What was tried.
        figures: One entry per target; empty where it failed.
        cost: Size ratio × ratio of multiply-accumulates, the mean over targets. See `export.study`.
        seconds: How long it took.
        failure: Why it could not be measured, else None.
    """

    number: int
    candidate: Candidate
    figures: tuple[Figures, ...]
    cost: float
    seconds: float
    failure: str | None = None

    @property
    def drop(self) -> float:
        """The largest over the targets, in points."""
        return max(figures.drop for figures in self.figures)

    def of(self, target: str) -> Figures | None:
        """Figures for one target; None where the trial failed."""
        return next((figures for figures in self.figures if figures.target == target), None)
