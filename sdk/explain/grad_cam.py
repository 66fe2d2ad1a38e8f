"""Grad-CAM on a checkpoint's network, by Captum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtimes import Array, EngineMissingError, Runtime, UsageError
from runtimes.torch_runtime import TorchRuntime


def grad_cam(runtime: Runtime, arrays: Mapping[str, Array], index: int) -> Array:
    """What spoke for a class, over the features that the network averages in the end.

    Args:
        runtime: A checkpoint's.
        arrays: The network's input for one picture, (1, …).
        index: The class.

    Returns:
        float32 (h, w), at least 0, in no unit.

    Raises:
        EngineMissingError: Captum is not installed.
        UsageError: The network has no features with a height and a width.
    """
    import torch

    assert isinstance(runtime, TorchRuntime)
    method = _import_captum()
    network = runtime.network
    device = next(network.parameters()).device
    inputs = tuple(torch.from_numpy(np.array(array)).to(device) for array in arrays.values())
    layer, of_input = last_features(network, inputs)
    with torch.enable_grad():
        taken = tuple(tensor.requires_grad_() for tensor in inputs)
        found = method(network, layer).attribute(
            taken, target=index, attribute_to_layer_input=of_input, relu_attributions=True
        )
    features = found[0] if isinstance(found, tuple) else found
    values: Array = features.detach().cpu().numpy()[0, 0].astype(np.float32)
    return values


def last_features(network: Any, inputs: tuple[Any, ...]) -> tuple[Any, bool]:
    """The module where the last features with a height and a width go in, or come out.

    Args:
        network: A `torch.nn.Module` in eval mode.
        inputs: Tensors for one call.

    Returns:
        The global pooling and True (its input is meant), or else the last convolution and False.

    Raises:
        UsageError: There is neither.
    """
    from torch import nn

    pooling = last_called(network, inputs, nn.AdaptiveAvgPool2d)
    if pooling is not None:
        return pooling, True
    convolution = last_called(network, inputs, nn.Conv2d)
    if convolution is None:
        raise UsageError("Explanation", got="a network without convolutions", expected="one with some",
                         fix="Grad-CAM cannot explain this network.")  # fmt: skip
    return convolution, False


def last_called(network: Any, inputs: tuple[Any, ...], kind: type[Any]) -> Any:
    """The module of a kind that runs last, in whatever order modules are registered; None if none does."""
    import torch

    called: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in network.modules()
        if isinstance(module, kind)
    ]
    try:
        with torch.inference_mode():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None


def _import_captum() -> Any:
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise EngineMissingError(
            "Library captum",
            got="no usable package",
            expected="captum, which computes Grad-CAM",
            fix="Run: pip install 'edgewright[train]'.",
        ) from error
    return LayerGradCam
