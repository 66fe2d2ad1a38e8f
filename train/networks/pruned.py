"""A network whose channels were removed: another builder's network at recorded widths.

A pruned checkpoint is thereby an ordinary one. It names its base network and the shape of every layer, and
whoever can build the base can build it: no pickled module, no patch of the base's code.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from runtimes.torch_runtime import build_network
from sdk.spec import Network
from train.networks.names import PRUNED


def build(base: dict[str, Any], shapes: dict[str, dict[str, Any]]) -> nn.Module:
    """Build `base` and give its layers their recorded widths, with fresh weights.

    Args:
        base: ``{"name": …, "arguments": …}`` of a builder.
        shapes: What `shapes_of` recorded: by dotted module name the ``weight``'s shape, and for grouped
            convolutions their ``groups``.

    Raises:
        ValueError: A layer that the base does not have, or a shape that cannot be cut out of its own.
    """
    if not isinstance(base, dict) or set(base) != {"name", "arguments"} or base["name"] == PRUNED:
        raise ValueError(f"base {base!r}")
    network: nn.Module = build_network(base)
    layers = dict(network.named_modules())
    for name, record in shapes.items():
        known = isinstance(layers.get(name), (_ConvNd, _BatchNorm, nn.Linear))
        if not known or not isinstance(record.get("weight"), list):
            raise ValueError(f"layer {name!r} with record {record}")
        _resize(name, layers[name], tuple(record["weight"]), record.get("groups", 1))
    return network


def shapes_of(network: nn.Module) -> dict[str, dict[str, Any]]:
    """The record that `build` reads, of every convolution, batch normalisation and linear layer."""
    shapes: dict[str, dict[str, Any]] = {}
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            shapes[name] = {"weight": [module.num_features]}
        elif isinstance(module, (_ConvNd, nn.Linear)):
            shapes[name] = {"weight": list(module.weight.shape)}
            if isinstance(module, _ConvNd) and module.groups > 1:
                shapes[name]["groups"] = module.groups
    return shapes


def pruned_network(network: nn.Module, before: Network) -> Network:
    """How a spec describes `network` after channels were removed from what `before` describes.

    Pruning what is pruned already refers to the first base: records do not nest.
    """
    base = before.arguments["base"] if before.name == PRUNED else _plain(before)
    return Network(PRUNED, {"base": base, "shapes": shapes_of(network)})


def _plain(network: Network) -> dict[str, Any]:
    return {"name": network.name, "arguments": network.arguments}


def _resize(name: str, layer: nn.Module, weight: tuple[int, ...], groups: int) -> None:
    full = (layer.num_features,) if isinstance(layer, _BatchNorm) else tuple(layer.weight.shape)
    if not _fits(layer, weight, full, groups):
        raise ValueError(
            f"layer {name!r} with weight {list(weight)} and groups {groups}, cut from {list(full)}"
        )
    if isinstance(layer, _BatchNorm):
        _resize_norm(layer, weight[0])
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight
        _resize_weights(layer, weight, weight[0])
    else:
        _resize_convolution(layer, weight, groups)


def _fits(layer: nn.Module, weight: tuple[int, ...], full: tuple[int, ...], groups: int) -> bool:
    whole = all(isinstance(extent, int) and extent >= 1 for extent in (*weight, groups))
    if not whole or len(weight) != len(full) or weight[2:] != full[2:]:
        return False
    if not isinstance(layer, _ConvNd):
        return groups == 1 and all(now <= then for now, then in zip(weight, full, strict=True))
    # What grows inside a group when groups go is still fewer channels altogether.
    out, inner = (1, 0) if isinstance(layer, _ConvTransposeNd) else (0, 1)
    across = weight[0] % groups == 0 and groups <= layer.groups
    outputs = weight[out] * (groups if out == 1 else 1)
    inputs = weight[inner] * (groups if inner == 1 else 1)
    return across and outputs <= layer.out_channels and inputs <= layer.in_channels


def _resize_norm(layer: _BatchNorm, features: int) -> None:
    layer.num_features = features
    for key, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
        if tensor.ndim == 1:
            _replace(layer, key, (features,))
    layer.reset_parameters()


def _resize_convolution(layer: _ConvNd, weight: tuple[int, ...], groups: int) -> None:
    layer.groups = groups
    if isinstance(layer, _ConvTransposeNd):
        layer.in_channels, layer.out_channels = weight[0], weight[1] * groups
    else:
        layer.out_channels, layer.in_channels = weight[0], weight[1] * groups
    _resize_weights(layer, weight, layer.out_channels)


def _resize_weights(layer: _ConvNd | nn.Linear, weight: tuple[int, ...], outputs: int) -> None:
    _replace(layer, "weight", weight)
    if layer.bias is not None:
        _replace(layer, "bias", (outputs,))
    layer.reset_parameters()


def _replace(layer: nn.Module, key: str, shape: tuple[int, ...]) -> None:
    old = getattr(layer, key)
    new = old.new_empty(shape)
    setattr(layer, key, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
