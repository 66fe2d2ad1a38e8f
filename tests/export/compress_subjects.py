"""Trials made up for tests of the search: figures that follow from the candidate alone."""

from __future__ import annotations

from export.gate import NO_GAIN
from export.latency import LatencyRatio
from export.recipe import INT8
from export.search_space import Candidate
from export.trial import Figures, Trial

PARENT_BYTES = 1_000_000
PARENT_MS = 2.0


def figures_of(
    target: str = "onnx", drop: float = 0.0, ratio: float = 1.0, size_bytes: int = PARENT_BYTES
) -> Figures:
    """Figures with an interval of a hundredth around the ratio."""
    latency = LatencyRatio(ratio, ratio - 0.01, ratio + 0.01, PARENT_MS * ratio, PARENT_MS, 100)
    gain = {
        "size": f"{PARENT_BYTES / size_bytes:.1f}× smaller" if size_bytes < PARENT_BYTES else NO_GAIN,
        "latency": f"{1 / ratio:.1f}× faster" if ratio < 0.98 else NO_GAIN,
    }
    return Figures(target, "accuracy", 0.9 - drop / 100, drop, size_bytes, PARENT_BYTES, latency, gain)


def trial_of(number: int, *figures: Figures, candidate: Candidate | None = None) -> Trial:
    """A measured trial; its candidate is another one for every number."""
    candidate = candidate or Candidate(pruned_percent=number, epochs=1)
    return Trial(number, candidate, figures, 0.5, 1.0)


def measured(number: int, candidate: Candidate) -> Trial:
    """What a search would measure if pruning cost accuracy by its square and recovery gave some back."""
    kept = 1 - candidate.pruned_percent / 100
    int8 = candidate.precision == INT8
    drop = 4 * (1 - kept) ** 2 - 0.1 * candidate.epochs + (0.1 if int8 else 0.0)
    ratio = kept**2 * (0.5 if int8 else 1.0)
    size = round(PARENT_BYTES * kept**2 * (0.27 if int8 else 1.0))
    figures = figures_of("onnx", round(drop, 4), ratio, size)
    return Trial(number, candidate, (figures,), round(kept**2 * figures.size_ratio, 5), 1.0)
