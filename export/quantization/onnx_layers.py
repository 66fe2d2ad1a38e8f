"""Which ONNX nodes a layer of the network became."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from runtimes import UsageError

if TYPE_CHECKING:
    import onnx

NETWORK = "network"
"""Where the checkpoint's network sits in the module that is lowered; see `export.bakers.baked.Baked`."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def nodes_of_layers(payload: bytes, layers: Collection[str]) -> dict[str, list[str]]:
    """Names of the nodes that each layer became, in graph order.

    A node belongs to a layer when the exporter's notes place it there, or when it reads one of the layer's
    weights: a convolution that took in a batch normalisation is noted under the latter.

    Args:
        payload: What `export.onnx_graph.trace_onnx` gives, notes and all.
        layers: Dotted module names in the checkpoint's network; a module with others inside stands for all
            of them.

    Raises:
        UsageError: A name is no module of the network, or one that left no node.
    """
    import onnx

    graph = onnx.load_from_string(payload).graph
    homes = {node.name: frozenset(_homes_of(node)) for node in graph.node}
    found: dict[str, list[str]] = {}
    for layer in layers:
        found[layer] = [name for name, modules in homes.items() if layer in modules]
        if not found[layer]:
            raise _unknown(layer, sorted({module for modules in homes.values() for module in modules}))
    return found


def nodes_outside(payload: bytes) -> list[str]:
    """Names of the nodes before and behind the network: normalisation and activation, which stay fp32.

    Args:
        payload: What `export.onnx_graph.trace_onnx` gives, notes and all.
    """
    import onnx

    graph = onnx.load_from_string(payload).graph
    return [node.name for node in graph.node if not any(_is_inside(scope) for scope in _scopes(node))]


def _is_inside(scope: str) -> bool:
    return scope == NETWORK or scope.startswith(f"{NETWORK}.")


def _homes_of(node: onnx.NodeProto) -> Iterator[str]:
    """Every module of the network that the node is part of, outer ones too."""
    weights = (name.rpartition(".")[0] for name in node.input)
    for scope in (*_scopes(node), *weights):
        parts = scope.split(".")
        if parts[0] == NETWORK:
            yield from (".".join(parts[1:end]) for end in range(2, len(parts) + 1))


def _scopes(node: onnx.NodeProto) -> list[str]:
    for note in node.metadata_props:
        if note.key == _SCOPES:
            # The last one is the operator's own name, which is no module.
            return [str(scope) for scope in ast.literal_eval(note.value)[:-1]]
    return []


def _unknown(layer: str, known: list[str]) -> UsageError:
    close = difflib.get_close_matches(layer, known, 3) or known[:3]
    return UsageError(
        "Option --keep",
        got=f"{layer!r}, which no node of the graph comes from",
        expected=f"a layer of the network, such as {', '.join(close)}",
        fix="Correct its name.",
    )
