"""The layers that compression speaks of: by their dotted module names in the checkpoint's network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from torch import nn

from runtimes import UsageError

KINDS = (nn.modules.conv._ConvNd, nn.Linear, nn.LSTM, nn.GRU, nn.MultiheadAttention)
"""Where the weights and the time are."""


def layers_of(network: nn.Module) -> list[str]:
    """Names of convolutions, linear, recurrent and attention layers, in the order they were registered."""
    names: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if isinstance(module, KINDS) and not inside:
            names.append(name)
    return names


def require_layers(network: nn.Module, names: Iterable[str], option: str) -> None:
    """Refuse names that are none of the network's layers.

    Raises:
        UsageError: With the names that come closest.
    """
    known = layers_of(network)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 3) or known[:3]
            raise UsageError(
                f"Option {option}",
                got=f"{name!r}, which is no layer of this network",
                expected=f"one of its {len(known)} layers, such as {', '.join(close)}",
                fix="`edgewright sensitivity CHECKPOINT` lists them.",
            )
