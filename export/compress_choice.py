"""The choice: which of the measured candidates meets the budgets, and the proof of it on unseen data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.trial import Figures, Trial
from runtimes import ProofError
from sdk.artifact import Artifact

Prove = Callable[[Trial, str], Artifact]
"""Export a trial's candidate to a target through the gate, into a folder that is not final yet."""


@dataclass(frozen=True)
class Limits:
    """What an artifact must hold.

    Attributes:
        max_drop: Largest loss of the headline metric, in points.
        max_latency_ms: Of one prediction on this machine; None for any.
        max_size_bytes: Of the file; None for any.
    """

    max_drop: float
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None

    def excess(self, figures: Figures) -> float:
        """How far past the limits: 0 where all hold. A point of accuracy weighs as much as twice a limit."""
        over = [figures.drop - self.max_drop]
        if self.max_latency_ms is not None:
            over.append(figures.latency.candidate_ms / self.max_latency_ms - 1)
        if self.max_size_bytes is not None:
            over.append(figures.size_bytes / self.max_size_bytes - 1)
        return sum(max(0.0, one) for one in over)

    def __str__(self) -> str:
        words = [f"a drop of at most {self.max_drop:g} points"]
        if self.max_latency_ms is not None:
            words.append(f"at most {self.max_latency_ms:g} ms")
        if self.max_size_bytes is not None:
            words.append(f"at most {self.max_size_bytes / 1e6:g} MB")
        return ", ".join(words)


@dataclass(frozen=True)
class Choice:
    """What was chosen for one target.

    Attributes:
        trial: Whose candidate it is.
        artifact: Proved, on data the search has not seen.
        refused: Numbers of faster trials that met the limits on validation data and not in the proof.
    """

    trial: Trial
    artifact: Artifact
    refused: tuple[int, ...]


def ranked(trials: Sequence[Trial], target: str, limits: Limits) -> list[Trial]:
    """Trials within the limits, the fastest first; among equals the more accurate, then the smaller."""
    found = []
    for trial in trials:
        figures = trial.of(target)
        if figures is not None and limits.excess(figures) == 0:
            found.append(((figures.latency_step, figures.drop, figures.size_bytes, trial.number), trial))
    return [trial for _, trial in sorted(found, key=lambda pair: pair[0])]


def best_so_far(trials: Sequence[Trial], targets: Sequence[str], limits: Limits) -> str:
    """What would be chosen now, in words; empty before anything meets the limits."""
    words = []
    for target in targets:
        for trial in ranked(trials, target, limits)[:1]:
            if figures := trial.of(target):
                words.append(f"{target} {figures.latency.ratio:.2f}× (trial {trial.number})")
    return ", ".join(words)


def choose(
    trials: Sequence[Trial],
    target: str,
    limits: Limits,
    prove: Prove,
    worst_layers: Callable[[], Sequence[str]],
) -> Choice:
    """The fastest candidate that holds on validation data and in the proof.

    Args:
        trials: Finished ones.
        target: Such as ``onnx``.
        limits: What it must hold.
        prove: Exports and measures on the proof split; raises `ProofError` past the limits.
        worst_layers: Names of the layers that quantisation hurts most, asked for when nothing holds.

    Raises:
        ProofError: Nothing does, with the candidate that comes closest.
    """
    refused: list[int] = []
    said = ""
    for trial in ranked(trials, target, limits):
        try:
            artifact = prove(trial, target)
            _require_size(artifact, limits)
        except ProofError as error:
            refused.append(trial.number)
            said = said or f"; {trial.candidate.label} held in the search and not in the proof: {error.got}"
            continue
        return Choice(trial, artifact, tuple(refused))
    measured = [(trial, figures) for trial in trials if (figures := trial.of(target)) is not None]
    layers = ", ".join(worst_layers()[:3])
    raise ProofError(
        f"Compression to {target}",
        got=f"none of {len(measured)} candidates within the budget{_closest(measured, limits)}{said}",
        expected=str(limits),
        fix="Nothing was written but the study. "
        + (f"Quantisation hurts most in {layers}. " if layers else "")
        + "Raise the budget, or go on with more --trials.",
    )


def _closest(measured: Sequence[tuple[Trial, Figures]], limits: Limits) -> str:
    if not measured:
        return ""
    trial, figures = min(measured, key=lambda pair: (limits.excess(pair[1]), pair[0].number))
    return (
        f", the closest {trial.candidate.label} with a drop of {figures.drop:.2f} points, "
        f"{figures.latency.candidate_ms:.3g} ms and {figures.size_bytes / 1e6:.3g} MB"
    )


def _require_size(artifact: Artifact, limits: Limits) -> None:
    """The evidence that the proof adds may take a file past a limit that the bare candidate held."""
    if limits.max_size_bytes is not None and artifact.size_bytes > limits.max_size_bytes:
        Path(artifact.path).unlink()
        raise ProofError(
            artifact.path.name,
            got=f"{artifact.size_bytes / 1e6:.4g} MB",
            expected=f"at most {limits.max_size_bytes / 1e6:g} MB",
            fix="Raise --max-size-mb.",
        )
