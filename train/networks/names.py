"""Which builders make a network of their own, and which derive it from another's. Imports no torch."""

from __future__ import annotations

from sdk.spec import Network

PRUNED = "pruned"
"""A network whose channels were removed; see `train.networks.pruned`."""

DERIVED = frozenset({PRUNED})
"""Builders that need a base, and so cannot be chosen with ``--model``. Their arguments hold ``base``."""


def base_name(network: Network) -> str:
    """The builder that made the architecture, behind however many that derive from it."""
    name, arguments = network.name, network.arguments
    while name in DERIVED:
        base = arguments["base"]
        name, arguments = base["name"], base["arguments"]
    return name
