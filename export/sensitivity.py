"""Sensitivity: what quantising or pruning one layer alone does to the task's metric.

Every layer is compressed by itself in torch, with the weights and the input rounded as the engines round
them, and the task is measured on data that accuracy is not reported on. Layers that hurt most are the ones to
keep in fp32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.calibration import CalibrationSet
from export.layers import layers_of
from export.prove import Progress
from export.recipe import PER_CHANNEL
from runtimes import Array, UsageError
from sdk.artifact import Metric
from sdk.spec import Spec
from train.batches import SpecBatch, activated, forward_batch, spec_loader
from train.tasks.base import Split, Task

DEFAULT_SAMPLES = 1000
_BATCH = 64
_WEIGHT_LEVELS = 127


@dataclass(frozen=True)
class LayerEffect:
    """What compressing one layer alone does.

    Attributes:
        layer: Its dotted module name.
        kind: Its class.
        weights: How many it has.
        drop_points: Loss of the headline metric, in points; negative is a gain.
        output_error: Root mean square difference of the activated outputs.
    """

    layer: str
    kind: str
    weights: int
    drop_points: float
    output_error: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def quantisation_effects(
    network: nn.Module,
    spec: Spec,
    task: Task,
    split: Split,
    *,
    calibration: CalibrationSet,
    granularity: str = PER_CHANNEL,
    progress: Progress | None = None,
) -> list[LayerEffect]:
    """Quantise one layer after the other to INT8, each alone; the most harmful first.

    Args:
        network: The checkpoint's, in eval mode; not changed.
        spec: Its spec.
        task: Judges the answers.
        split: What is judged on: not the split that accuracy is reported on.
        calibration: What the ranges of the layers' inputs are measured on.
        granularity: Of the weights' scales.
        progress: Called as ``progress(what, done, total)``.
    """
    network = _folded(network)
    probe = _Probe(network, spec, task, split)
    ranges = _input_ranges(network, spec, calibration)
    names = [name for name in layers_of(network) if name in ranges]
    effects = []
    for done, name in enumerate(names):
        if progress:
            progress("quantising layer by layer", done, len(names))
        module = network.get_submodule(name)
        with _quantised(module, ranges[name], granularity):
            effects.append(probe.effect(network, name, module))
    if progress:
        progress("quantising layer by layer", len(names), len(names))
    return ranked(effects)


def pruning_effects(
    network: nn.Module,
    spec: Spec,
    task: Task,
    split: Split,
    *,
    ratio: float,
    progress: Progress | None = None,
) -> list[LayerEffect]:
    """Remove `ratio` of one layer's output channels after the other, without retraining; worst first."""
    from export.bake import example_input
    from export.pruning import prune_network

    probe = _Probe(network, spec, task, split)
    example = example_input(spec, 1)[0]
    names, effects = layers_of(network), []
    for done, name in enumerate(names):
        if progress:
            progress("pruning layer by layer", done, len(names))
        try:
            pruned = prune_network(network, example, 0.0, layer_ratios={name: ratio})
        except UsageError:
            continue  # the head's outputs are the classes: it has no channels to give
        effects.append(probe.effect(pruned, name, network.get_submodule(name)))
    if progress:
        progress("pruning layer by layer", len(names), len(names))
    return ranked(effects)


def ranked(effects: Sequence[LayerEffect]) -> list[LayerEffect]:
    """The most harmful first; among equal drops the one that moves the outputs more."""
    return sorted(effects, key=lambda effect: (-effect.drop_points, -effect.output_error))


def some_of(split: Split, count: int) -> Split:
    """`count` items of a split, evenly spread; all where there are fewer."""
    if len(split) <= count:
        return split
    rows = [round(at * (len(split) - 1) / (count - 1)) for at in range(count)]
    items, targets = [split.items[row] for row in rows], [split.targets[row] for row in rows]
    return Split(split.name, items, targets, split.labels, split.sha256)


class _Probe:
    """Measures networks on batches that were loaded once."""

    def __init__(self, network: nn.Module, spec: Spec, task: Task, split: Split) -> None:
        self._spec, self._task, self._split = spec, task, split
        self._batches: list[SpecBatch] = list(spec_loader(spec, split, _BATCH, 0))
        self._metric, self._outputs = self._measure(network)

    def effect(self, network: nn.Module, name: str, module: nn.Module) -> LayerEffect:
        metric, outputs = self._measure(network)
        error = np.sqrt(
            np.mean([np.mean((outputs[key] - self._outputs[key]) ** 2) for key in sorted(outputs)])
        )
        weights = sum(parameter.numel() for parameter in module.parameters())
        drop = metric.loss_from(self._metric)
        return LayerEffect(name, type(module).__name__, weights, round(drop, 4), float(error))

    def _measure(self, network: nn.Module) -> tuple[Metric, dict[str, Array]]:
        results: list[Any] = []
        parts: list[dict[str, Array]] = []
        spec = self._spec.measuring()
        network.eval()
        with torch.inference_mode():
            for batch in self._batches:
                outputs = activated(spec, forward_batch(network, spec, batch))
                results += spec.output.read(outputs, batch.samples)
                parts.append(outputs)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._task.measure(results, self._split)[0], joined


def _folded(network: nn.Module) -> nn.Module:
    """A copy with batch normalisation folded into convolutions, as every engine folds it."""
    from torch.fx.experimental.optimization import fuse

    try:
        folded: nn.Module = fuse(copy.deepcopy(network))
    except Exception:  # noqa: BLE001 - control flow that fx cannot trace: scales per channel are the same unfolded
        return copy.deepcopy(network)
    return folded.eval()


def _input_ranges(
    network: nn.Module, spec: Spec, calibration: CalibrationSet
) -> dict[str, tuple[float, float]]:
    """Least and largest value of each layer's first input."""
    found: dict[str, tuple[float, float]] = {}
    handles = []

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            low, high = (float(end) for end in torch.aminmax(inputs[0]))
            before = found.get(name, (0.0, 0.0))
            found[name] = (min(low, before[0]), max(high, before[1]))

        return hook

    for name in layers_of(network):
        handles.append(network.get_submodule(name).register_forward_pre_hook(watch(name)))
    try:
        with torch.inference_mode():
            for arrays in calibration.batches(spec):
                network(*(torch.from_numpy(arrays[info.name]) for info in spec.graph().inputs))
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def _quantised(module: nn.Module, limits: tuple[float, float], granularity: str) -> Iterator[None]:
    """One layer with its weights and its input on an 8-bit grid."""
    weights = {name: p for name, p in module.named_parameters() if p.ndim > 1}
    before = {name: p.detach().clone() for name, p in weights.items()}
    low, high = limits
    scale = max((high - low) / 255, 1e-12)
    zero = int(np.clip(round(-low / scale), 0, 255))

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.fake_quantize_per_tensor_affine(inputs[0], scale, zero, 0, 255), *inputs[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        with torch.no_grad():
            for parameter in weights.values():
                parameter.copy_(_rounded(parameter, granularity))
        yield
    finally:
        handle.remove()
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(before[name])


def _rounded(weight: Tensor, granularity: str) -> Tensor:
    flat = weight.detach().abs().flatten(1)
    peak = flat.amax(dim=1) if granularity == PER_CHANNEL else flat.max().expand(len(flat))
    scales = (peak / _WEIGHT_LEVELS).clamp_min(1e-12)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight.detach(), scales, zeros, 0, -_WEIGHT_LEVELS, _WEIGHT_LEVELS
    )
