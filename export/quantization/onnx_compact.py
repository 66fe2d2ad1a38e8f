"""Take out of a quantised graph what costs bytes and says nothing.

A quantiser writes several constants for every tensor, most of them equal (zero points above all), under
names that repeat the weight's; in a small model they outweigh what four bytes becoming one has saved.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def compact(model: onnx.ModelProto, known: Collection[str]) -> None:
    """Share equal constants and shorten the names that a quantiser made up, in place.

    Args:
        model: What it wrote, without subgraphs that read from outside.
        known: Names of tensors and nodes of the model before it was quantised; they stay, and so do the
            names of the weights themselves.
    """
    graph = model.graph
    large = {weight.name for weight in graph.initializer if len(weight.dims) > 1}
    fixed = {info.name for info in (*graph.input, *graph.output)} | set(known) | large
    renamed = _share_constants(graph)
    tensors = [
        *(weight.name for weight in graph.initializer),
        *(n for node in graph.node for n in node.output),
    ]
    made_up = (name for name in tensors if name and name not in fixed)
    renamed |= {name: f"_{number}" for number, name in enumerate(made_up)}
    for name, first in list(renamed.items()):
        renamed[name] = renamed.get(first, first)
    for weight in graph.initializer:
        weight.name = renamed.get(weight.name, weight.name)
    node_names = _short_names("q", fixed)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        if node.name not in known:
            node.name = next(node_names)


def _short_names(prefix: str, taken: Collection[str]) -> Iterator[str]:
    return (name for number in itertools.count() if (name := f"{prefix}{number}") not in taken)


def names_in(model: onnx.ModelProto) -> frozenset[str]:
    """Names of a model's tensors, weights and nodes."""
    graph = model.graph
    tensors = (name for node in graph.node for name in (*node.input, *node.output, node.name))
    return frozenset(tensors) | {weight.name for weight in graph.initializer}


def _share_constants(graph: onnx.GraphProto) -> dict[str, str]:
    """Keep one of equal small initialisers; says which name stands for which from now on."""
    first: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for weight in graph.initializer:
        name = weight.name
        weight.name = ""
        content = weight.SerializeToString()
        weight.name = name
        if len(weight.dims) > 1 or content not in first:
            first[content] = name
            kept.append(weight)
        else:
            renamed[name] = first[content]
    if renamed:
        del graph.initializer[:]
        graph.initializer.extend(kept)
    return renamed
