"""The gate: what an artifact must hold to get its name, and what it gained over its parent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from export.latency import LatencyRatio
from export.recipe import FP16, FP32, INT4_WEIGHTS, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from runtimes import ProofError
from sdk.artifact import Artifact, Metric, Parity

NO_GAIN = "no gain"
SMALLEST_GAIN = 0.98
"""A file within two in a hundred of its parent's size or time is as large, or as slow, as its parent."""


@dataclass(frozen=True)
class Budget:
    """How far an artifact may be from its checkpoint.

    Attributes:
        tolerance: Largest absolute difference of any activated output; None where only the metric
            judges, because rounding to 8 bits moves single probabilities by much.
        max_drop: Largest loss of the headline metric against the uncompressed checkpoint: in points
            (hundredths) for shares, in percent of its value for metrics in other units.
    """

    tolerance: float | None
    max_drop: float


# fp32: other kernels add in another order; 1e-3 of a probability is far above what that gives (1e-5 was
# seen) and far below what a wrong resize or normalisation gives. fp16: 10 bits of mantissa through a deep
# network move a probability near 0.5 by about 0.01.
DEFAULT_BUDGETS = {
    FP32: Budget(1e-3, 0.1),
    FP16: Budget(3e-2, 0.5),
    INT8: Budget(None, 0.5),
    INT8_DYNAMIC: Budget(None, 0.5),
    INT8_WEIGHTS: Budget(None, 0.5),
    INT4_WEIGHTS: Budget(None, 0.5),
}
COMPRESSED_MAX_DROP = 1.0
"""Default for a checkpoint that was itself pruned or retrained."""

QUANTISED_SLACK, QUANTISED_FLOOR = 2.0, 0.05
"""What `verify` accepts of a quantised artifact elsewhere: twice what was seen here, at least 0.05. Integer
kernels of other CPUs saturate and round otherwise."""


def require_same_answers(budget: Budget, name: str, parity: Parity) -> None:
    """Refuse an artifact whose outputs differ from its checkpoint's by more than arithmetic explains.

    Raises:
        ProofError: It does.
    """
    if budget.tolerance is not None and not parity.worst_difference <= budget.tolerance:
        raise ProofError(
            name,
            got=f"a worst difference of {parity.worst_difference:.2e} from the checkpoint",
            expected=f"at most {budget.tolerance:.0e}",
            fix="Nothing was written. Export in fp32, or find the layer that overflows.",
        )


def drop_points(metrics: Sequence[Metric], before: Sequence[Metric]) -> float:
    """Loss of the headline metric: in points (hundredths) for shares, in percent for other units."""
    return metrics[0].loss_from(before[0])


def require_small_drop(
    budget: Budget,
    name: str,
    metrics: Sequence[Metric],
    before: Sequence[Metric],
    advice: Callable[[], str],
) -> None:
    """Refuse an artifact that lost more of its headline metric than the budget allows.

    Args:
        budget: Its `max_drop` is the limit.
        name: Of the artifact.
        metrics: Measured on it.
        before: Measured on the uncompressed checkpoint.
        advice: Says what to do about it; called only when it is needed.

    Raises:
        ProofError: It did.
    """
    drop = drop_points(metrics, before)
    if drop > budget.max_drop:
        side, way = ("below", "drop") if metrics[0].mode == "max" else ("above", "rise")
        raise ProofError(
            name,
            got=f"{metrics[0].name} {metrics[0].text}, {drop:.2f} {metrics[0].loss_unit} {side} "
            f"the checkpoint's {before[0].text}",
            expected=f"a {way} of at most {budget.max_drop:g} {metrics[0].loss_unit}",
            fix=f"Nothing was written. {advice()}",
        )


def require_agreement(budget: Budget, name: str, parity: Parity) -> None:
    """Where the data holds no truth to measure a metric on: refuse an artifact that answers otherwise than
    its checkpoint on more items than the metric might have lost.

    Raises:
        ProofError: It does.
    """
    differing = 100 * (1 - parity.agreement)
    if differing > budget.max_drop:
        raise ProofError(
            name,
            got=f"other answers than the checkpoint's on {differing:.2f} % of {parity.samples} items",
            expected=f"at most {budget.max_drop:g} %, since the data holds no truth to measure accuracy on",
            fix="Nothing was written. Export with labelled data, or raise --max-drop if you accept this.",
        )


def verify_tolerance(budget: Budget, golden_difference: float) -> float:
    """What `Predictor.verify` accepts of the artifact on other machines."""
    if budget.tolerance is not None:
        return budget.tolerance
    return max(QUANTISED_FLOOR, QUANTISED_SLACK * golden_difference)


def gain_facts(artifact: Artifact, parent: Artifact, latency: LatencyRatio | None) -> dict[str, Any]:
    """Size and latency against the parent, and in words what was gained, for an artifact's evidence."""
    size = artifact.size_bytes / parent.size_bytes
    gain = {"size": f"{1 / size:.1f}× smaller" if size < SMALLEST_GAIN else NO_GAIN}
    facts: dict[str, Any] = {
        "parent_file": parent.path.name,
        "size": {"bytes": artifact.size_bytes, "parent_bytes": parent.size_bytes, "ratio": round(size, 4)},
    }
    if latency is not None:
        # Faster only when the whole interval says so: a coin that fell well is no gain.
        gain["latency"] = f"{1 / latency.ratio:.1f}× faster" if latency.high < SMALLEST_GAIN else NO_GAIN
        facts["latency"] = {k: round(v, 5) for k, v in asdict(latency).items()}
    return {**facts, "gain": gain}


def gain_in_words(facts: dict[str, Any]) -> str:
    """Such as ``4.0× smaller, no gain in latency``; empty for an artifact that was not compressed."""
    gain = facts.get("gain")
    if not gain:
        return ""
    return ", ".join(f"{NO_GAIN} in {what}" if gained == NO_GAIN else gained for what, gained in gain.items())
