"""The lowering to ONNX in every precision: what its record says is what the graph holds."""

from __future__ import annotations

from typing import Any

import pytest

from export.calibration import CalibrationSet
from export.lowering import Lowered, Request
from export.lowerings.onnx_lowering import OnnxLowering
from export.quantization.integer_types import cpu_types
from export.recipe import Recipe
from tests.export.quantization.conftest import Judge, Traced

LARGEST_DROP = 0.04
"""Twelve of 300 pictures: the network is tiny and barely trained, so many answers are close calls."""
ROOM = 4096


def _lower(traced: Traced, recipe: Recipe, calibration: CalibrationSet | None = None) -> Lowered:
    return OnnxLowering().lower(traced.network, traced.checkpoint_spec, Request(recipe, 8, ROOM, calibration))


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", {"Conv": {"fp32": 9}, "Gemm": {"fp32": 1}}),
        ("int8", {"Conv": {"int8": 9}, "Gemm": {"int8": 1}, "Add": {"int8": 3}}),
        ("int8-dynamic", {"Conv": {"fp32": 9}, "MatMul": {"int8": 1}}),
        ("int8-weights", {"Conv": {"int8-weights": 9}, "Gemm": {"int8-weights": 1}}),
        ("int4-weights", {"Conv": {"fp32": 9}, "MatMul": {"int4-weights": 1}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_onnx_lowering_records_the_precision_of_nodes(
    precision: str, expected: dict[str, Any], traced: Traced, calibration: CalibrationSet, judge: Judge
) -> None:
    lowered = _lower(traced, Recipe(precision), calibration)
    nodes = lowered.precision["nodes"]
    assert lowered.precision["requested"] == precision
    assert {operator: nodes[operator] for operator in expected} == expected
    assert judge.accuracy(lowered.payload) >= judge.accuracy(traced.payload) - LARGEST_DROP
    assert lowered.spec == traced.spec
    assert b"stack_trace" not in lowered.payload


def test_onnx_lowering_records_types_calibration_and_kept_layers(
    traced: Traced, calibration: CalibrationSet
) -> None:
    recipe = Recipe("int8", "mse", "per-tensor", ("classifier",))
    lowered = _lower(traced, recipe, calibration)
    assert lowered.precision["types"] == cpu_types().to_json()
    assert lowered.precision["granularity"] == "per-tensor"
    assert lowered.precision["kept"] == ["classifier"]
    assert lowered.calibration["method"] == "mse"
    assert lowered.calibration["samples"] == len(calibration.items)
    assert set(lowered.calibration["ranges"]) >= {"relu", "scores"}


def test_onnx_lowering_measures_nothing_where_nothing_is_calibrated(traced: Traced) -> None:
    assert _lower(traced, Recipe("int8-weights")).calibration == {}
