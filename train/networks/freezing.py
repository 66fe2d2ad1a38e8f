"""Which parameters train, and how fast: freezing strategies as parameter groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from runtimes import UsageError

STRATEGIES = ("none", "head-only", "last-blocks", "discriminative")
LAST_BLOCKS = 2
"""Stages that ``last-blocks`` trains beside the head."""
SLOWEST_SCALE = 0.1
"""Learning rate of the first stage under ``discriminative``, as a factor of the head's; the stages between
follow geometrically (the idea of Howard & Ruder 2018, "ULMFiT", section 3.2)."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        name: Such as ``features.3``; for logs.
        parameters: Those that train.
        lr_scale: Factor on the learning rate of the options.
        decay_all: Weight decay acts on biases and normalisation scales too.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr_scale: float
    decay_all: bool = False


def stages_of(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a network from its input to its head: its own ``stages()``, or as they are registered.

    Containers called ``features`` or ``classifier`` are not parts themselves: a backbone's stages are.
    """
    if hasattr(network, "stages"):
        return list(network.stages())
    stages: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if name == "features":
            stages += [(f"features.{inner}", module) for inner, module in child.named_children()]
        else:
            stages.append((name, child))
    return [(name, module) for name, module in stages if any(True for _ in module.parameters())]


def freeze(network: nn.Module, strategy: str) -> list[ParameterGroup]:
    """Set ``requires_grad`` by strategy and group what trains.

    Args:
        network: Its last stage is the head.
        strategy: ``none`` trains everything alike; ``head-only`` the head; ``last-blocks`` the head and
            the `LAST_BLOCKS` stages before it; ``discriminative`` everything, earlier stages slower.

    Raises:
        UsageError: The network has no stages that could be told apart.
    """
    stages = stages_of(network)
    if strategy != "none" and len(stages) < 2:
        raise UsageError(
            "Option --freeze",
            got=f"{strategy} for a network of one part",
            expected="a network whose stages are child modules, the head last",
            fix="Use --freeze none.",
        )
    if strategy == "none":
        return [ParameterGroup("all", tuple(network.parameters()), 1.0)]
    if strategy == "discriminative":
        last = len(stages) - 1
        scales = [SLOWEST_SCALE ** ((last - at) / last) for at in range(len(stages))]
        return [
            ParameterGroup(name, tuple(module.parameters()), scale)
            for (name, module), scale in zip(stages, scales, strict=True)
        ]
    trained = stages[-1:] if strategy == "head-only" else stages[-1 - LAST_BLOCKS :]
    network.requires_grad_(False)
    for _, module in trained:
        module.requires_grad_(True)
    return [ParameterGroup(name, tuple(module.parameters()), 1.0) for name, module in trained]


def layerwise(network: nn.Module, decay: float) -> list[ParameterGroup]:
    """Everything trains, each stage slower than the one behind it by the factor `decay`, the head as told.

    Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", section 5.4.2.

    Args:
        network: Its last stage is the head.
        decay: Between 0 and 1.
    """
    stages = stages_of(network)
    return [
        ParameterGroup(name, tuple(module.parameters()), decay ** (len(stages) - 1 - at))
        for at, (name, module) in enumerate(stages)
    ]


def frozen_modules(network: nn.Module) -> Iterable[nn.Module]:
    """Modules whose every parameter is frozen; their batch statistics must stand still as well."""
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            yield module
