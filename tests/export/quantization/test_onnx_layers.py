"""From names of layers to nodes of the graph."""

from __future__ import annotations

import onnx
import pytest

from export.layers import layers_of
from export.onnx_graph import strip_notes
from export.quantization.onnx_layers import nodes_of_layers, nodes_outside
from runtimes import UsageError
from tests.export.quantization.conftest import Judge, Traced, run

SMALLEST_SAVING = 30_000
"""Bytes of notes on a graph of two dozen nodes."""


def test_nodes_of_layers_finds_one_node_for_every_layer(traced: Traced) -> None:
    layers = layers_of(traced.network)
    found = nodes_of_layers(traced.noted, layers)
    kinds = {node.name: node.op_type for node in onnx.load_from_string(traced.noted).graph.node}
    assert [[kinds[name] for name in found[layer]] for layer in layers] == [["Conv"]] * 9 + [["Gemm"]]
    assert len({name for names in found.values() for name in names}) == len(layers)


def test_nodes_of_layers_takes_a_module_with_others_inside(traced: Traced) -> None:
    stage = nodes_of_layers(traced.noted, ["features.stage1"])["features.stage1"]
    inner = nodes_of_layers(traced.noted, ["features.stage1.0.first.0", "features.stage1.0.second.0"])
    assert {name for names in inner.values() for name in names} < set(stage)


def test_nodes_of_layers_does_not_mistake_a_prefix(traced: Traced) -> None:
    with pytest.raises(UsageError, match=r"'features.stage', .* such as features.stage"):
        nodes_of_layers(traced.noted, ["features.stage"])


def test_nodes_outside_are_prelude_and_head(traced: Traced) -> None:
    kinds = {node.name: node.op_type for node in onnx.load_from_string(traced.noted).graph.node}
    assert [kinds[name] for name in nodes_outside(traced.noted)] == ["Cast", "Reshape", "Sub", "Softmax"]


def test_strip_notes_leaves_the_same_graph_in_fewer_bytes(traced: Traced, judge: Judge) -> None:
    stripped = strip_notes(traced.noted)
    assert len(stripped) < len(traced.noted) - SMALLEST_SAVING
    # Known shapes may lead ONNX Runtime to other layouts, whose sums round otherwise: as it is written, then.
    plain = [run(payload, judge.images, "ORT_DISABLE_ALL") for payload in (stripped, traced.noted)]
    assert (plain[0] == plain[1]).all()
    for trace in (b"stack_trace", b"site-packages", b"train.networks"):
        assert trace in traced.noted
        assert trace not in stripped
    before, after = (onnx.load_from_string(payload).graph for payload in (traced.noted, stripped))
    assert [node.name for node in before.node] == [node.name for node in after.node]
