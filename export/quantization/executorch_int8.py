"""INT8 for ExecuTorch: torchao's PT2E flow with the quantizer of the XNNPACK delegate.

A traced graph gets observers where XNNPACK quantises, sees every calibration batch, and is converted: weights
become int8 constants, and quantise/dequantise pairs stand around what the delegate computes in int8.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from export.calibration import CalibrationSet
from export.recipe import Recipe
from runtimes import ProofError
from sdk.spec import Spec
from train.quantizer import make_quantizer, module_names

LARGEST_BATCH = 32
"""Per calibration run; the ranges do not depend on it."""
FP32_PARTS = ("prelude", "head")
"""Parts of a baked module that no recipe quantises: raw pixels going in, probabilities coming out."""

_KINDS = {
    torch.ops.aten.conv1d.default: "Conv",
    torch.ops.aten.conv2d.default: "Conv",
    torch.ops.aten.conv_transpose2d.input: "ConvTranspose",
    torch.ops.aten.convolution.default: "Conv",
    torch.ops.aten.linear.default: "Linear",
    torch.ops.aten.lstm.input: "LSTM",
    torch.ops.aten.gru.input: "GRU",
}


def quantizer_for(recipe: Recipe, *, dynamic: bool = False, weight_bits: int = 8) -> Any:
    """The quantizer of a recipe, for a module that `export.bake.bake` composed."""
    return make_quantizer(
        recipe.granularity,
        dynamic=dynamic,
        calibrator="minmax" if dynamic else recipe.calibrator,
        keep=(*FP32_PARTS, *(f"network.{name}" for name in recipe.keep)),
        weight_bits=weight_bits,
    )


def quantise_static(
    program: Any, quantizer: Any, batches: Iterator[tuple[Tensor, ...]]
) -> tuple[torch.fx.GraphModule, dict[str, list[float]]]:
    """Calibrate and convert.

    Args:
        program: The exported baked module.
        quantizer: See `quantizer_for`.
        batches: Calibration inputs within the program's batch bounds.

    Returns:
        The converted graph; and by layer the range [lowest, highest] that its int8 output stands for.

    Raises:
        ProofError: A layer gives NaN or infinity on calibration data.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(program.module(), quantizer)
    handles = _watch(prepared)
    with torch.no_grad():
        for inputs in batches:
            prepared(*inputs)
    for handle in handles:
        handle.remove()
    converted = convert_pt2e(prepared)
    return converted, _ranges(converted)


def quantise_dynamic(program: Any, quantizer: Any, example: tuple[Tensor, ...]) -> torch.fx.GraphModule:
    """Weights to int8; activations are measured by the delegate, batch by batch.

    Args:
        program: The exported baked module.
        quantizer: See `quantizer_for`.
        example: One batch, which decides nothing.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(program.module(), quantizer)
    with torch.no_grad():
        prepared(*example)
    converted: torch.fx.GraphModule = convert_pt2e(prepared)
    return converted


def calibration_batches(
    calibration: CalibrationSet, spec: Spec, max_batch: int
) -> Iterator[tuple[Tensor, ...]]:
    """Every calibration batch as the graph's inputs in order."""
    for arrays in calibration.batches(spec, min(LARGEST_BATCH, max_batch)):
        yield tuple(torch.from_numpy(arrays[info.name]) for info in spec.graph().inputs)


def calibration_record(
    recipe: Recipe, calibration: CalibrationSet, ranges: dict[str, list[float]]
) -> dict[str, Any]:
    """What the evidence says about calibration."""
    return {
        "method": recipe.calibrator,
        "split": calibration.split,
        "samples": len(calibration.items),
        "data_sha256": calibration.sha256,
        "ranges": ranges,
    }


def read_back(graph: torch.fx.GraphModule) -> dict[str, Any]:
    """Which convolutions and linear layers of a converted graph compute in int8, and where weights lie.

    One computes in int8 when both its data and its weight come from a dequantisation.

    Returns:
        ``nodes``: by kind, how many by type; ``fp32_layers``: names of those in fp32; ``weights``: how many
        numbers of each type the graph holds.
    """
    nodes: dict[str, Counter[str]] = {}
    floating = []
    for node in graph.graph.nodes:
        kind = _KINDS.get(node.target) if node.op == "call_function" else None
        if kind is None:
            continue
        quantised = all(_is_dequantised(node.args[at]) for at in (0, 1))
        nodes.setdefault(kind, Counter())["int8" if quantised else "float32"] += 1
        if not quantised:
            floating.append(_layer(node))
    weights: Counter[str] = Counter()
    for name in {str(node.target) for node in graph.graph.nodes if node.op == "get_attr" and node.users}:
        tensor = operator.attrgetter(name)(graph)  # the state dict still holds what was folded away
        weights[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return {
        "nodes": {kind: dict(counts) for kind, counts in nodes.items()},
        "fp32_layers": floating,
        "weights": dict(weights),
    }


def _watch(prepared: torch.fx.GraphModule) -> list[Any]:
    """Refuse NaN and infinity at every observer: most would hide them in a range."""
    return [
        prepared.get_submodule(str(node.target)).register_forward_pre_hook(_refuse(_layer(node.args[0])))
        for node in prepared.graph.nodes
        if node.op == "call_module" and "activation_post_process" in str(node.target)
    ]


def _refuse(layer: str) -> Any:
    def hook(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        if not torch.isfinite(inputs[0]).all():
            raise ProofError(
                f"Calibration, layer {layer!r}",
                got="NaN or infinity",
                expected="finite activations for every sample",
                fix="Nothing was written. Train again with smaller steps, or find the sample that does it.",
            )

    return hook


def _ranges(converted: torch.fx.GraphModule) -> dict[str, list[float]]:
    ranges: dict[str, list[float]] = {}
    for node in converted.graph.nodes:
        if node.op != "call_function" or "quantize_per_tensor" not in str(node.target):
            continue
        if "dequantize" in str(node.target):
            continue
        source, scale, zero, lowest, highest = node.args[:5]
        name = _layer(source)
        pair = [round(float((edge - zero) * scale), 6) for edge in (lowest, highest)]
        if ranges.setdefault(name, pair) != pair:
            ranges[f"{name}:{source.name}"] = pair
    return ranges


def _layer(node: Any) -> str:
    """The checkpoint's name of the innermost module that a node is from; the node's own where it has none."""
    names = module_names(node)
    return names[-1].removeprefix("network.") if names else str(node.name)


def _is_dequantised(node: Any) -> bool:
    return node.op == "call_function" and "dequantize" in str(node.target)
