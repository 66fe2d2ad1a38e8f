"""The spec: JSON there and back, strictly."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from runtimes import Dim, SpecError, TensorInfo
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import Graph, Network, Spec
from tests.sdk.conftest import image_input, make_spec

SPECS = {
    "free batch": make_spec(),
    "bounded batch": make_spec(Dim(1, 8)),
    "fixed batch": make_spec(4),
    "letterbox grey": make_spec(
        input=image_input(channels="grey", resize="letterbox", mean=(0.5,), std=(0.5,)), baked=()
    ),
    "shortest": make_spec(input=image_input(resize="shortest", shortest_px=5)),
    "network arguments": make_spec(network=Network("x", {"deep": [1, {"a": None}], "flag": True})),
    "two graphs": make_spec(
        graphs=(*make_spec().graphs, Graph("step", (TensorInfo("s", "int64", (1,)),), ()))
    ),
}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_spec_json_round_trip_is_equal(name: str) -> None:
    spec = SPECS[name]
    assert Spec.from_json(json.loads(spec.dumps())) == spec


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        del tree[path[-1]]

    return change


BAD = {
    "unknown key": (_set("surprise", value=1), "unknown key 'surprise'"),
    "unknown nested key": (_set("input", "gamma", value=2.2), "spec.input: got unknown key 'gamma'"),
    "missing mean": (_drop("input", "mean"), "spec.input: got no key 'mean'"),
    "missing labels": (_drop("output", "labels"), "spec.output: got no key 'labels'"),
    "newer version": (_set("version", value=5), "spec.version: got 5, expected 4"),
    "older version": (_set("version", value=1), "spec.version: got 1, expected 4"),
    "no version": (_drop("version"), "spec.version: got None"),
    "unknown input kind": (_set("input", "kind", value="sonar"), "got kind 'sonar', expected one of"),
    "kind is a list": (_set("input", "kind", value=[]), r"got kind \[\]"),
    "string for a number": (
        _set("input", "scale", value="1"),
        r"spec.input.scale: got '1', expected a float",
    ),
    "true for a number": (_set("input", "scale", value=True), "got True, expected a float"),
    "float for an integer": (
        _set("output", "top_k", value=1.5),
        "spec.output.top_k: got 1.5, expected a int",
    ),
    "two sizes expected": (_set("input", "size_wh", value=[4]), "spec.input.size_wh: got 1 entries"),
    "unknown filter": (_set("input", "filter", value="cubic"), "spec.input.filter: got 'cubic'"),
    "unknown resize": (_set("input", "resize", value="crop"), "spec.input.resize"),
    "crop larger than resize": (
        lambda t: t["input"].update(resize="shortest", shortest_px=3),
        "spec.input.shortest_px: got 3, expected at least 4",
    ),
    "zero std": (_set("input", "std", value=[0, 1, 1]), "spec.input.std"),
    "one mean for three channels": (
        _set("input", "mean", value=[0.5]),
        "spec.input.mean.*expected 3 numbers",
    ),
    "colour above 255": (_set("input", "pad_colour", value=[0, 0, 256]), "spec.input.pad_colour"),
    "one label": (_set("output", "labels", value=["a"]), "spec.output.labels"),
    "label twice": (_set("output", "labels", value=["a", "a"]), "spec.output.labels"),
    "unknown activation": (_set("output", "activation", value="relu"), "spec.output.activation"),
    "unknown baked step": (_set("baked", value=["magic"]), "spec.baked: got 'magic'"),
    "no graph": (_set("graphs", value=[]), "spec.graphs"),
    "shape of text": (
        _set("graphs", 0, "inputs", 0, "shape", value=["N"]),
        r"spec.graphs\[0\].inputs\[0\].shape",
    ),
    "not an object": (_set("network", value=3), "spec.network: got 3, expected an object"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_spec_from_json_refuses(name: str) -> None:
    change, message = BAD[name]
    tree = copy.deepcopy(make_spec().to_json())
    change(tree)
    with pytest.raises(SpecError, match=message) as caught:
        Spec.from_json(tree)
    assert "\n" not in str(caught.value)


def test_spec_every_field_is_written() -> None:
    """Nothing that matters has a silent default: no dataclass of the tree has a default value."""
    tree = make_spec().to_json()
    for part in ("input", "output"):
        for key in [k for k in tree[part] if k != "kind"]:
            damaged = copy.deepcopy(tree)
            del damaged[part][key]
            with pytest.raises(SpecError, match=f"no key '{key}'"):
                Spec.from_json(damaged)


def test_spec_is_frozen_and_with_baked_gives_a_new_one() -> None:
    spec = make_spec(baked=())
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]
    baked = spec.with_baked(("cast",), spec.graphs)
    assert (spec.baked, baked.baked) == ((), ("cast",))


def test_spec_graph_unknown_name_lists_the_known() -> None:
    with pytest.raises(SpecError, match=r"got 'decoder', expected one of \['main'\]"):
        make_spec().graph("decoder")


@pytest.mark.parametrize(("batch", "expected"), [(Dim(), Dim()), (Dim(1, 8), Dim(1, 8)), (4, Dim(4, 4))])
def test_spec_batch_reads_the_first_axis(batch: Dim | int, expected: Dim) -> None:
    assert make_spec(batch).batch == expected


def test_output_top_k_zero_is_refused() -> None:
    with pytest.raises(SpecError, match=r"spec\.output\.top_k: got 0"):
        replace(ClassificationOutput(("a", "b"), "softmax", 1, 1.0), top_k=0)
