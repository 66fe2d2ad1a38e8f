"""Pretrained weights: torchvision's, or a file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from runtimes import UsageError
from runtimes.errors import first_line
from train.networks.segmentation_networks import AUXILIARY, SEGMENTATION_HEADS
from train.networks.torchvision_networks import COLOUR_CHANNELS, HEADS, first_convolution

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in 0..1: what torchvision's weights were trained with."""


def load_torchvision_weights(network: nn.Module, name: str) -> None:
    """Load torchvision's own weights, from its cache or the internet; the head stays fresh.

    Raises:
        UsageError: The network has none, or they cannot be fetched.
    """
    known = (*HEADS, *SEGMENTATION_HEADS)
    if name not in known:
        raise UsageError(
            "Option --pretrained",
            got=f"it for {name}",
            expected=f"one of {', '.join(known)}",
            fix="Choose another --model, or pass --weights FILE.safetensors.",
        )
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(name).DEFAULT
        # Torchvision ships pickles; with weights_only they are read without running code.
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise UsageError(
            f"Pretrained weights of {name}",
            got=f"none in {torch.hub.get_dir()} and no download ({first_line(error)})",
            expected="the file in torch's cache, or internet access",
            fix="Put the file there, or pass --weights FILE.safetensors, or leave --pretrained out.",
        ) from error
    # The auxiliary classifier of the segmentation networks only ever helped to train.
    load_weights(network, {k: v for k, v in state.items() if not k.startswith(AUXILIARY)}, name)


def load_weights_file(network: nn.Module, path: Path) -> None:
    """Load weights from a `.safetensors` file: a plain state dict, or an artifact of `edgewright train`.

    Raises:
        UsageError: It cannot be read, or does not fit the network.
    """
    load_weights(network, read_state(path), path.name)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file.

    Raises:
        UsageError: It cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"Weights {path.name!r}",
            got=first_line(error),
            expected="a .safetensors file",
            fix="Check the path of --weights.",
        ) from error


def load_weights(
    network: nn.Module, state: dict[str, Tensor], name: str, head: Collection[str] | None = None
) -> None:
    """Copy `state` into `network`. A head for other classes is left fresh, nothing else may differ.

    A first convolution for colour is summed over its channels where the network takes grey: the answer
    to a grey picture is then the one that the colour network gives to it.

    Args:
        network: Gets the weights.
        state: The weights by name.
        name: What they are called in messages.
        head: Names of the tensors that depend on the classes; None is those of the last linear layer.

    Raises:
        UsageError: A tensor is missing, unknown, or of another shape.
    """
    wanted = network.state_dict()
    state = _fit_channels(network, state)
    head = _head_tensors(network) if head is None else set(head)
    other_head = any(key in state and state[key].shape != wanted[key].shape for key in head)
    optional = head if other_head or not any(key in state for key in head) else set()
    state = {key: tensor for key, tensor in state.items() if key not in optional}
    missing = sorted(set(wanted) - set(state) - optional)
    unknown = sorted(set(state) - set(wanted))
    shapes = sorted(key for key in set(state) & set(wanted) if state[key].shape != wanted[key].shape)
    if missing or unknown or shapes:
        kind, keys = next(
            (k, v) for k, v in (("no", missing), ("an unknown", unknown), ("a misshapen", shapes)) if v
        )
        raise UsageError(
            f"Weights {name!r}",
            got=f"{kind} tensor {keys[0]!r}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else ""),
            expected="weights of this network; only its head may be for other classes",
            fix="Choose the --model that the file belongs to.",
        )
    network.load_state_dict({**wanted, **state})


def _head_tensors(network: nn.Module) -> set[str]:
    """Names of the tensors of the layers that a network calls its `heads`, else of its last linear layer."""
    heads = getattr(network, "heads", None)
    if heads is None:
        heads = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1:]
    return {f"{name}.{kind}" for name in heads for kind in ("weight", "bias")} & set(network.state_dict())


def _fit_channels(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    name, convolution = first_convolution(network)
    kernel = state.get(f"{name}.weight")
    grey_from_colour = (
        kernel is not None
        and convolution.in_channels == 1
        and kernel.ndim == 4
        and kernel.shape[1] == COLOUR_CHANNELS
    )
    if not grey_from_colour:
        return dict(state)
    return {**state, f"{name}.weight": kernel.sum(dim=1, keepdim=True)}
