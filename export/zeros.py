"""Zeros among the weights: where they are put, and what they are good for."""

from __future__ import annotations

import copy
import zlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import prune

TWO_OF_FOUR = "2:4"
_BLOCK, _ZEROS = 4, 2

GAINS = {
    "l1": "Dense runtimes (ONNX Runtime, ExecuTorch XNNPACK, TensorRT) compute zeros like other numbers: no "
    "latency is gained, and no size but in a compressed file.",
    TWO_OF_FOUR: "Only TensorRT's sparse kernels use this pattern, on NVIDIA GPUs from Ampere on, with "
    "BuilderFlag.SPARSE_WEIGHTS; dense runtimes (ONNX Runtime, ExecuTorch XNNPACK) gain no latency, and no "
    "size but in a compressed file.",
}
"""What each kind of zeros gains, told in the evidence."""


def weighted_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and linear layers by dotted name."""
    return {n: m for n, m in network.named_modules() if isinstance(m, (_ConvNd, nn.Linear))}


def zero_smallest(network: nn.Module, share: float) -> nn.Module:
    """A copy with the smallest `share` of all layers' weights set to zero, ranked together by magnitude."""
    sparse = copy.deepcopy(network)
    layers = [(layer, "weight") for layer in weighted_layers(sparse).values()]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=share)
    for layer, name in layers:
        prune.remove(layer, name)
    return sparse


def zero_two_of_four(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy with the two smallest of every four neighbouring weights along the input channels set to zero.

    That is the axis of TensorRT's sparse kernels (NVIDIA 2021, "Accelerating Sparse Deep Neural Networks",
    section 3): the input channels of convolutions and linear layers.

    Returns:
        The copy, and the layers that stay dense since four does not divide their input channels.
    """
    sparse, dense = copy.deepcopy(network), []
    with torch.no_grad():
        for name, layer in weighted_layers(sparse).items():
            if isinstance(layer, _ConvTransposeNd) or layer.weight.shape[1] % _BLOCK:
                dense.append(name)
            else:
                layer.weight.copy_(_two_of_four(layer.weight))
    return sparse, dense


def holds_two_of_four(weight: Tensor) -> bool:
    """Whether at least two of every four neighbours along the input channels are zero."""
    blocks = weight.detach().transpose(0, 1).reshape(weight.shape[1] // _BLOCK, _BLOCK, -1)
    return bool(((blocks == 0).sum(dim=1) >= _ZEROS).all())


def zeros_report(network: nn.Module) -> dict[str, Any]:
    """Share of zeros among all layers' weights, and by layer."""
    layers = {name: layer.weight.detach() for name, layer in weighted_layers(network).items()}
    zeros = {name: int((weight == 0).sum()) for name, weight in layers.items()}
    return {
        "zeros": sum(zeros.values()) / sum(weight.numel() for weight in layers.values()),
        "layers": {name: round(zeros[name] / weight.numel(), 4) for name, weight in layers.items()},
    }


def compressed_bytes(payload: bytes) -> int:
    """Size after zlib at its default level: what a download or an archive would take."""
    return len(zlib.compress(payload))


def _two_of_four(weight: Tensor) -> Tensor:
    outputs, inputs = weight.shape[:2]
    blocks = weight.reshape(outputs, inputs // _BLOCK, _BLOCK, -1)
    smallest = blocks.abs().argsort(dim=2, stable=True)[:, :, :_ZEROS]
    return blocks.scatter(2, smallest, 0.0).reshape(weight.shape)
