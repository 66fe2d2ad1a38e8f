"""Compare two artifacts until it is clear whether one is slower, or until the time is up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from runtimes import ArtifactError, UsageError
from sdk.artifact import Artifact, read_artifact
from sdk.bench.inputs import golden_items
from sdk.compare.rounds import Contestant, LaunchRecord, run_round
from sdk.compare.verdict import (
    EXIT_CODES,
    REGRESSION,
    UNDECIDED,
    Limits,
    Metric,
    Verdict,
    judge,
    judge_size,
    measured_metrics,
)
from sdk.spec import Spec

FEWEST_ROUNDS = 6
MOST_ROUNDS = 60
BUDGET_S = 60.0
COMPARISON_VERSION = 1

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        baseline: Name of the baseline, as people know it.
        candidate: Name of the candidate.
        verdicts: One per metric; the latency first.
        rounds: How many were run.
        seconds: How long it took.
        interleaved: Whether both ran in turns; False against a recorded baseline.
        machine: Class of the machine.
        note: Why a verdict is weaker than it looks; empty otherwise.
    """

    baseline: str
    candidate: str
    verdicts: tuple[Verdict, ...]
    rounds: int
    seconds: float
    interleaved: bool
    machine: str
    note: str = ""

    @property
    def verdict(self) -> str:
        """``regression`` if any metric regressed; else the verdict on the latency.

        The other metrics may stay undecided without holding anything up: their limits are for what is plain.
        """
        if any(verdict.verdict == REGRESSION for verdict in self.verdicts):
            return REGRESSION
        return self.verdicts[0].verdict

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 2 undecided."""
        return EXIT_CODES[self.verdict]

    def strictly(self) -> Comparison:
        """The same, where a pass needs that of every metric: the first undecided one comes first."""
        undecided = [v for v in self.verdicts if v.verdict == UNDECIDED]
        rest = [v for v in self.verdicts if v.verdict != UNDECIDED]
        return replace(self, verdicts=(*undecided, *rest))

    def to_dict(self) -> dict[str, Any]:
        """JSON data; docs/gate.md describes it."""
        return {
            "version": COMPARISON_VERSION,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "metrics": [verdict.to_dict() for verdict in self.verdicts],
            "rounds": self.rounds,
            "seconds": round(self.seconds, 2),
            "interleaved": self.interleaved,
            "machine": self.machine,
            "note": self.note,
        }


def compare(
    baseline: Contestant,
    candidate: Contestant,
    limits: Limits | None = None,
    *,
    budget_s: float = BUDGET_S,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Launch both in turns and judge the candidate.

    Args:
        baseline: What is good enough.
        candidate: What must not be worse.
        limits: From which ratios on it is.
        budget_s: Longest time to spend; at least `FEWEST_ROUNDS` rounds are run.
        seed: Of the order of turns.
        progress: Told how it stands after every round.

    Raises:
        UsageError: They do not do the same job.
        InputError: There is nothing to predict on.
        ArtifactError: The candidate does not give its proved answers.
        EdgewrightError: What a contestant raised when it was launched.
    """
    before, after = read_artifact(baseline.path), read_artifact(candidate.path)
    require_same_job(before, after)
    require_inputs(after, candidate)
    require_proof(candidate)
    limits = limits or Limits()
    duel, order, blocks, over = Duel(limits, budget_s), random.Random(seed), None, False
    while not over:
        begin = time.perf_counter()
        first, second = run_round((baseline, candidate), order, blocks)
        blocks = len(first.blocks_s)  # every round alike, so that their figures are
        over = duel.add(first, second, time.perf_counter() - begin)
        if progress:
            progress(str(duel))
    return Comparison(
        before.path.name,
        after.path.name,
        (*duel.verdicts(), judge_size(before.size_bytes, after.size_bytes, limits.size)),
        duel.rounds,
        duel.seconds,
        interleaved=True,
        machine=this_machine_class(),
    )


class Duel:
    """Rounds of two contestants, gathered until the latency's verdict is clear or the time is up.

    Args:
        limits: From which ratios on the candidate is worse.
        budget_s: Longest time to spend.

    Attributes:
        leading: The latency's verdict so far; None before `FEWEST_ROUNDS` rounds.
        seconds: Time spent on rounds.
    """

    def __init__(self, limits: Limits, budget_s: float) -> None:
        self._metrics = measured_metrics(limits)
        self._budget_s = budget_s
        self._baseline: list[LaunchRecord] = []
        self._candidate: list[LaunchRecord] = []
        self.leading: Verdict | None = None
        self.seconds = 0.0

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self._baseline)

    def add(self, baseline: LaunchRecord, candidate: LaunchRecord, seconds: float) -> bool:
        """Take in a round that took `seconds`, and say whether it was the last."""
        self._baseline.append(baseline)
        self._candidate.append(candidate)
        self.seconds += seconds
        if self.rounds < FEWEST_ROUNDS:
            return False
        self.leading = self._judge(self._metrics[0])
        too_long = self.seconds * (self.rounds + 1) / self.rounds > self._budget_s
        return self.leading.verdict != UNDECIDED or self.rounds >= MOST_ROUNDS or too_long

    def verdicts(self) -> tuple[Verdict, ...]:
        """On every measured metric, the latency first."""
        return tuple(self._judge(metric) for metric in self._metrics)

    def __str__(self) -> str:
        standing = f": {self.leading.ratio} {self.leading.verdict}" if self.leading else ""
        return f"round {self.rounds}, {self.seconds:.0f} s{standing}"

    def _judge(self, metric: Metric) -> Verdict:
        return judge(metric, self._baseline, self._candidate, paired=True)


def this_machine_class() -> str:
    """What two machines must have in common for their latencies to be comparable."""
    from sdk.machine import read_machine

    return read_machine().machine_class


class Subject(Protocol):
    """What is looked at before two artifacts are compared: an artifact, or what was recorded of one."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def spec(self) -> Spec:
        """Its contract."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""


def require_same_job(baseline: Subject, candidate: Subject) -> None:
    """Both must take the same inputs and give the same kind of answer.

    Raises:
        UsageError: The tasks or the contracts differ.
    """
    for what, before, after in (
        ("task", baseline.spec.task, candidate.spec.task),
        ("input contract", baseline.spec.input.to_json(), candidate.spec.input.to_json()),
        ("output contract", baseline.spec.output.to_json(), candidate.spec.output.to_json()),
    ):
        if before != after:
            raise UsageError(
                f"Comparison of {baseline.path.name!r} and {candidate.path.name!r}",
                got=f"another {what}: {_difference(before, after)}",
                expected="two artifacts that do the same job",
                fix="Compare artifacts of one model; latencies of different jobs say nothing of each other.",
            )


def require_inputs(candidate: Artifact, contestant: Contestant) -> None:
    """There must be something real to predict on.

    Raises:
        InputError: No golden samples and no files.
    """
    if not contestant.items:
        golden_items(candidate)


def require_proof(candidate: Contestant) -> None:
    """The candidate must give its proved answers here: a fast wrong answer is no candidate.

    Raises:
        ArtifactError: It does not.
    """
    from sdk.predictor import Predictor

    with Predictor(candidate.path, **candidate.options) as predictor:
        found = predictor.verify()
    if found.samples and not found.holds:
        raise ArtifactError(
            f"Candidate {Path(candidate.path).name!r}",
            got=f"answers {found.worst_difference:.2g} away from its proof on {found.samples} golden samples",
            expected=f"at most {found.tolerance:.2g}",
            fix="Export it again; its latency is not worth measuring before its answers hold.",
        )


def _difference(before: Any, after: Any) -> str:
    """The first field in which two contracts differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if before[key] != after.get(key):
                return f"{key} {_short(after.get(key))} instead of {_short(before[key])}"
    return f"{_short(after)} instead of {_short(before)}"


def _short(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
