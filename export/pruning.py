"""Structured pruning: channels are really removed, so that every runtime gets faster, and what was lost is
trained back with the unpruned checkpoint as the teacher.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from export.channel_groups import (
    Loss,
    channel_groups,
    count_macs,
    count_parameters,
    prune_to_widths,
    target_widths,
)
from export.recovery import Recovery, RecoveryOptions, example_of, original_network, recovery_of
from runtimes import UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import Artifact
from train.networks.pruned import pruned_network, shapes_of

ROUND_TO = 8
"""Kernels of all three engines work on blocks of 8 or 16 channels."""


def prune_network(
    network: nn.Module,
    example: Tensor,
    ratio: float,
    *,
    importance: str = "magnitude",
    layer_ratios: Mapping[str, float] | None = None,
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
    round_to: int = ROUND_TO,
) -> nn.Module:
    """A copy of the network without its least important channels.

    Args:
        network: Not changed.
        example: An input of batch 1.
        ratio: Share of the channels of every layer to remove, 0 to below 1. Multiply-accumulates fall by
            about the square of what stays.
        importance: ``magnitude`` or ``taylor``.
        layer_ratios: Other ratios for single layers by dotted name, as in `export.layers.layers_of`.
        batches: Training batches, for ``taylor``.
        loss: As `Plan.loss`, for ``taylor``.
        round_to: Widths are multiples of this, where they are not below it.

    Raises:
        UsageError: A ratio out of range, or a layer that has no channels to give.
    """
    layer_ratios = dict(layer_ratios or {})
    require_ratios(ratio, layer_ratios)
    widths = target_widths(channel_groups(network, example), ratio, layer_ratios, round_to)
    return prune_to_widths(network, example, widths, importance=importance, batches=batches, loss=loss)


def prune_checkpoint(
    checkpoint: Path,
    ratio: float,
    *,
    out: Path,
    importance: str = "magnitude",
    layer_ratios: Mapping[str, float] | None = None,
    steps: int = 1,
    round_to: int = ROUND_TO,
    **recovery_options: Any,
) -> Path:
    """Prune a checkpoint in one or several steps, recover after each, and write an ordinary checkpoint.

    Args:
        checkpoint: A `.safetensors`; may be pruned already.
        ratio: Share of the channels to remove in the end; see `prune_network`.
        out: File to write.
        importance: ``magnitude`` or ``taylor``.
        layer_ratios: Other ratios for single layers.
        steps: In how many equal cuts; each is followed by the recovery's epochs.
        round_to: See `prune_network`.
        **recovery_options: The fields of `RecoveryOptions`: data, epochs, teacher, seed, …

    Returns:
        `out`. Its evidence names the checkpoint as parent; ``facts["pruning"]`` says what was removed, and
        what that cost before and after recovery.

    Raises:
        ArtifactError, DataError, UsageError: Checkpoint, data or options cannot be used.
    """
    layer_ratios = dict(layer_ratios or {})
    require_ratios(ratio, layer_ratios)
    require_steps(steps)
    options = RecoveryOptions(**recovery_options)
    with recovery_of(Path(checkpoint), Path(out), options) as recovery:
        network, example = original_network(recovery), example_of(recovery.source)
        groups = channel_groups(network, example)
        last, rounds = recovery.source, []
        for step in range(1, steps + 1):
            share = step / steps
            part = {name: share * value for name, value in layer_ratios.items()}
            widths = target_widths(groups, share * ratio, part, round_to)
            cut = _cut(recovery, load_network(last.program()), widths, importance)
            changed = recovery.write(cut, pruned_network(cut, recovery.source.spec.network), step)
            rounds.append({"ratio": share * ratio, "macs": count_macs(cut, example),
                           "before_recovery": headline(changed)})  # fmt: skip
            recovery.say(_cut_line(step, steps, rounds[-1], count_macs(network, example), changed))
            last = recovery.train(changed, step, afresh=True)
            rounds[-1]["after_recovery"] = headline(last)
        told = {"ratio": ratio, "importance": importance, "steps": steps, "layer_ratios": layer_ratios}
        told |= _removed(network, load_network(last.program()), example)
        told |= headlines(recovery, rounds)
        return recovery.finish(last, Path(out), {"pruning": told})


def require_ratios(ratio: float, layer_ratios: Mapping[str, float]) -> None:
    """Refuse ratios that leave nothing.

    Raises:
        UsageError: One is not in 0 to below 1.
    """
    for option, value in (("--ratio", ratio), *((f"--layer {n}", r) for n, r in layer_ratios.items())):
        if not 0 <= value < 1:
            raise UsageError(f"Option {option}", got=f"{value:g}", expected="a share from 0 to below 1",
                             fix="Write a half as 0.5.")  # fmt: skip


def require_steps(steps: int) -> None:
    """Refuse less than one step.

    Raises:
        UsageError: Fewer than 1.
    """
    if steps < 1:
        raise UsageError("Option --steps", got=str(steps), expected="at least 1", fix="Correct it.")


def _cut(recovery: Recovery, network: nn.Module, widths: Mapping[str, int], importance: str) -> nn.Module:
    """One cut, with its statistics re-estimated."""
    learnt: dict[str, Any] = {}
    if importance == "taylor":
        learnt = {"batches": recovery.batches, "loss": recovery.plan.loss}
    cut = prune_to_widths(network, example_of(recovery.source), widths, importance=importance, **learnt)
    return _settle(cut, recovery.batches)


def _settle(network: nn.Module, batches: list[Any]) -> nn.Module:
    """Re-estimate the statistics of batch normalisation, which channels that are gone still shape.

    Most of what a cut costs comes from them (Li et al. 2020, "EagleEye", section 3.3).
    """
    training = network.training
    update_bn(batches, network)
    return network.train(training)


def _removed(before: nn.Module, after: nn.Module, example: Tensor) -> dict[str, Any]:
    """What is gone: output channels by layer, multiply-accumulates, parameters; each before and after."""
    then, now = shapes_of(before), shapes_of(after)
    layers = {
        name: [then[name]["weight"][0], now[name]["weight"][0]]
        for name in then
        if len(then[name]["weight"]) > 1 and then[name]["weight"][0] != now[name]["weight"][0]
    }
    return {
        "layers": layers,
        "macs": [count_macs(network, example) for network in (before, after)],
        "parameters": [count_parameters(network) for network in (before, after)],
    }


def headlines(recovery: Recovery, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """How recovery went: the headline metric of the original, after the last cut, and in the end, on the same
    data; and what was said of the original's own pruning.
    """
    options, original = recovery.options, recovery.measure(recovery.source.path)[0]
    earlier = recovery.source.manifest.evidence.facts.get("pruning")
    return {
        "recovery_epochs": options.epochs,
        "teacher": options.teacher and options.epochs > 0,
        "metric": original.name,
        "unit": original.unit,
        "split": original.split,
        "samples": original.samples,
        "original": original.value,
        "before_recovery": rounds[-1]["before_recovery"],
        "after_recovery": rounds[-1]["after_recovery"],
        "rounds": rounds,
        **({} if earlier is None else {"earlier": earlier}),
    }


def headline(artifact: Artifact) -> float:
    """The first metric of an artifact's evidence."""
    value: float = artifact.manifest.evidence.metrics[0].value
    return value


def _cut_line(step: int, steps: int, done: Mapping[str, Any], whole: int, changed: Artifact) -> str:
    metric = changed.manifest.evidence.metrics[0]
    return (
        f"step {step}/{steps}: {done['ratio']:.0%} of the channels removed, {done['macs'] / 1e6:.2f} of "
        f"{whole / 1e6:.2f} million multiply-accumulates stay; {metric.name} {metric.text} before "
        "recovery"
    )
