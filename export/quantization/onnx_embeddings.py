"""Embedding tables in int8: they are most bytes of a text network, and a text reads few of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    import onnx

_LARGEST_INT8 = 127
_FEWEST_VALUES = 16384
"""Smaller tables are not worth three more nodes."""


def store_embeddings_as_int8(model: onnx.ModelProto) -> list[str]:
    """Keep large tables that rows are gathered from as int8 with a scale per row, in place.

    Symmetric: ``row = scale * q`` with ``scale = max|row| / 127``. Rows and their scales are gathered, cast
    and multiplied while running: for the few rows of one text that is nothing beside what a layer costs.

    Args:
        model: A complete ONNX model.

    Returns:
        Names of the tables that were stored so.
    """
    import onnx

    graph = model.graph
    gathers = _readers(graph)
    stored = []
    for table in list(graph.initializer):
        gather = gathers.get(table.name)
        if (
            gather is None
            or table.data_type != onnx.TensorProto.FLOAT
            or np.prod(table.dims) < _FEWEST_VALUES
        ):
            continue
        values, scales = _by_row(onnx.numpy_helper.to_array(table))
        small, scale = f"{table.name}_int8", f"{table.name}_scale"
        graph.initializer.remove(table)
        graph.initializer.extend(
            [onnx.numpy_helper.from_array(values, small), onnx.numpy_helper.from_array(scales, scale)]
        )
        _replace(graph, gather, small, scale)
        stored.append(table.name)
    return stored


def _readers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The one node that reads each tensor, where it is a Gather of rows and there is no other."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return {
        name: nodes[0] for name, nodes in found.items() if len(nodes) == 1 and _takes_rows(nodes[0], name)
    }


def _takes_rows(node: onnx.NodeProto, table: str) -> bool:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 0 and node.input[0] == table


def _by_row(table: Array) -> tuple[Array, Array]:
    """int8 values, and float32 scales (rows, 1, …)."""
    largest = np.abs(table).max(axis=tuple(range(1, table.ndim)), keepdims=True)
    # A row of zeros alone, such as that of padding: any scale gives zeros back.
    scales = np.where(largest > 0, largest / _LARGEST_INT8, 1.0).astype(np.float32)
    return np.clip(np.round(table / scales), -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8), scales


def _replace(graph: onnx.GraphProto, gather: onnx.NodeProto, small: str, scale: str) -> None:
    import onnx

    helper, rows, given = onnx.helper, gather.input[1], gather.output[0]
    parts = [f"{given}_{role}" for role in ("int8", "wide", "scale")]
    nodes = [
        helper.make_node("Gather", [small, rows], [parts[0]], name=gather.name, axis=0),
        helper.make_node("Cast", [parts[0]], [parts[1]], name=parts[1], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [scale, rows], [parts[2]], name=parts[2], axis=0),
        helper.make_node("Mul", [parts[1], parts[2]], [given], name=f"{given}_mul"),
    ]
    place = list(graph.node).index(gather)
    graph.node.remove(gather)
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
