"""Sparse checkpoints: zeros among the weights, trained so that they stay, with what they gain told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from export.pruning import headline, headlines, require_ratios, require_steps
from export.recovery import RecoveryOptions, original_network, recovery_of
from export.zeros import (
    GAINS,
    TWO_OF_FOUR,
    compressed_bytes,
    zero_smallest,
    zero_two_of_four,
    zeros_report,
)
from runtimes import UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact.evidence import in_words


def sparsify_checkpoint(
    checkpoint: Path, pattern: float | str, *, out: Path, steps: int = 1, **recovery_options: Any
) -> Path:
    """Set weights to zero, recover with the zeros kept, and write an ordinary checkpoint.

    Args:
        checkpoint: A `.safetensors`.
        pattern: Share of weights to set to zero, the smallest of all layers together; or ``"2:4"``.
        out: File to write.
        steps: In how many equal steps, each followed by the recovery's epochs; 1 for ``"2:4"``.
        **recovery_options: The fields of `RecoveryOptions`.

    Returns:
        `out`. ``facts["sparsity"]`` says how many zeros there are, what the file compresses to before and
        after, and that dense runtimes gain no latency.

    Raises:
        ArtifactError, DataError, UsageError: Checkpoint, data or options cannot be used.
    """
    share = _share(pattern)
    require_steps(steps)
    if share is None and steps > 1:
        raise UsageError("Option --steps", got=f"{steps} with pattern 2:4", expected="1",
                         fix="The pattern cannot be reached in parts: leave it out.")  # fmt: skip
    options = RecoveryOptions(**recovery_options)
    with recovery_of(Path(checkpoint), Path(out), options) as recovery:
        last, rounds = recovery.source, []
        for step in range(1, steps + 1):
            before = original_network(recovery) if step == 1 else load_network(last.program())
            sparse, dense = _zeroed(before, None if share is None else share * step / steps)
            changed = recovery.write(sparse, recovery.source.spec.network, step)
            rounds.append({**zeros_report(sparse), "before_recovery": headline(changed)})
            del rounds[-1]["layers"]
            recovery.say(_line(step, steps, rounds[-1], changed.manifest.evidence.metrics[0].unit))
            last = recovery.train(changed, step, keep_zeros=True)
            rounds[-1]["after_recovery"] = headline(last)
        told = {"pattern": TWO_OF_FOUR if share is None else "l1", "asked": pattern, "steps": steps}
        told |= zeros_report(load_network(last.program()))
        told["dense_layers"] = dense
        told["bytes"] = [len(recovery.source.payload), len(last.payload)]
        told["compressed_bytes"] = [compressed_bytes(a.payload) for a in (recovery.source, last)]
        told["gain"] = GAINS[told["pattern"]]
        told |= headlines(recovery, rounds)
        return recovery.finish(last, Path(out), {"sparsity": told})


def _share(pattern: float | str) -> float | None:
    """The share of zeros; None for 2:4."""
    if pattern == TWO_OF_FOUR:
        return None
    try:
        share = float(pattern)
    except ValueError:
        raise UsageError("Pattern", got=repr(pattern), expected="a share such as 0.5, or 2:4",
                         fix="Correct it.") from None  # fmt: skip
    require_ratios(share, {})
    return share


def _zeroed(network: nn.Module, share: float | None) -> tuple[nn.Module, list[str]]:
    if share is None:
        return zero_two_of_four(network)
    return zero_smallest(network, share), []


def _line(step: int, steps: int, done: dict[str, Any], unit: str) -> str:
    return (
        f"step {step}/{steps}: {done['zeros']:.1%} of the weights are zero; "
        f"headline metric {in_words(done['before_recovery'], unit)} before recovery"
    )
