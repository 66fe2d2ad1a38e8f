"""INT8 with calibrated ranges: as right as fp32, in integers where it says so, and what each engine takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.calibration import CalibrationSet
from export.quantization.integer_types import IntegerTypes, cpu_types
from export.quantization.onnx_int8 import lower_int8_for_cpu, lower_int8_for_tensorrt
from export.quantization.onnx_precision import node_precisions
from export.recipe import CALIBRATORS, Recipe
from runtimes import UsageError
from tests.export.quantization.conftest import Judge, Traced, optimised_operators, run

LARGEST_DROP = 0.04
"""Twelve of 300 pictures: the network is tiny and barely trained, so many answers are close calls."""
U8S8 = IntegerTypes("uint8", "int8", False, "test")


def _cpu(traced: Traced, calibration: CalibrationSet, recipe: Recipe, types: IntegerTypes = U8S8) -> bytes:
    return lower_int8_for_cpu(traced.network, traced.checkpoint_spec, recipe, calibration, types)[0]


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_lower_int8_answers_like_fp32(
    calibrator: str, traced: Traced, calibration: CalibrationSet, judge: Judge
) -> None:
    payload = _cpu(traced, calibration, Recipe("int8", calibrator), cpu_types())
    assert judge.accuracy(payload) >= judge.accuracy(traced.payload) - LARGEST_DROP
    assert len(payload) < len(traced.payload) / 3


def test_lower_int8_runs_integer_kernels(traced: Traced, calibration: CalibrationSet, tmp_path: Path) -> None:
    operators = optimised_operators(_cpu(traced, calibration, Recipe("int8")), tmp_path)
    assert operators.count("QLinearConv") == 9
    assert operators.count("QLinearAdd") == 3
    assert operators.count("QGemm") == 1
    assert "Conv" not in operators and "Relu" not in operators


def test_lower_int8_leaves_prelude_and_head_alone(traced: Traced, calibration: CalibrationSet) -> None:
    payload = _cpu(traced, calibration, Recipe("int8"))
    nodes = node_precisions(payload)
    assert nodes["Softmax"] == {"fp32": 1}
    assert nodes["Sub"] == {"fp32": 1}
    assert nodes["Conv"] == {"int8": 9}
    assert nodes["Gemm"] == {"int8": 1}
    assert nodes["Add"] == {"int8": 3}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_lower_int8_takes_any_batch(
    count: int, traced: Traced, calibration: CalibrationSet, judge: Judge
) -> None:
    payload = _cpu(traced, calibration, Recipe("int8"))
    assert run(payload, judge.images[:count]).shape == (count, 10)


@pytest.mark.parametrize(("granularity", "scales"), [("per-channel", 8), ("per-tensor", 1)])
def test_lower_int8_scales_weights_as_asked(
    granularity: str, scales: int, traced: Traced, calibration: CalibrationSet
) -> None:
    payload = _cpu(traced, calibration, Recipe("int8", granularity=granularity))
    graph = onnx.load_from_string(payload).graph
    constants = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    stem = next(n for n in graph.node if n.input and "stem.0.weight_quantized" in n.input[0])
    assert stem.op_type == "DequantizeLinear"
    assert constants[stem.input[1]].size == scales


def test_lower_int8_reduces_weights_to_seven_bits_when_asked(
    traced: Traced, calibration: CalibrationSet
) -> None:
    def largest(reduce_range: bool) -> int:
        types = IntegerTypes("uint8", "int8", reduce_range, "test")
        graph = onnx.load_from_string(_cpu(traced, calibration, Recipe("int8"), types)).graph
        weights = [w for w in graph.initializer if len(w.dims) > 1 and w.data_type == onnx.TensorProto.INT8]
        return max(int(np.abs(numpy_helper.to_array(weight).astype(int)).max()) for weight in weights)

    assert largest(True) <= 64 < largest(False) <= 128


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (("features.stem.0",), {"Conv": {"fp32": 1, "int8": 8}, "Gemm": {"int8": 1}}),
        (("features.stage2",), {"Conv": {"fp32": 3, "int8": 6}, "Gemm": {"int8": 1}}),
        (
            ("features.stage2.1.second.0", "classifier"),
            {"Conv": {"fp32": 1, "int8": 8}, "Gemm": {"fp32": 1}},
        ),
    ],
    ids=["one", "a-stage", "two"],
)
def test_lower_int8_keeps_layers_in_fp32(
    keep: tuple[str, ...],
    expected: dict[str, dict[str, int]],
    traced: Traced,
    calibration: CalibrationSet,
    judge: Judge,
) -> None:
    payload = _cpu(traced, calibration, Recipe("int8", keep=keep))
    nodes = node_precisions(payload)
    assert {operator: nodes[operator] for operator in expected} == expected
    assert judge.accuracy(payload) >= judge.accuracy(traced.payload) - LARGEST_DROP


def test_lower_int8_refuses_an_unknown_layer(traced: Traced, calibration: CalibrationSet) -> None:
    with pytest.raises(UsageError, match=r"'features.stem.9', .* such as features.stem"):
        _cpu(traced, calibration, Recipe("int8", keep=("features.stem.9",)))


def test_lower_int8_needs_calibration_data(traced: Traced) -> None:
    with pytest.raises(UsageError, match="got no calibration data"):
        lower_int8_for_tensorrt(traced.network, traced.checkpoint_spec, Recipe("int8"), None)


def test_lower_int8_gives_the_same_bytes_again(traced: Traced, calibration: CalibrationSet) -> None:
    assert _cpu(traced, calibration, Recipe("int8")) == _cpu(traced, calibration, Recipe("int8"))


def test_lower_int8_for_tensorrt_is_signed_symmetric_and_leaves_biases(
    traced: Traced, calibration: CalibrationSet, judge: Judge
) -> None:
    payload, _, record = lower_int8_for_tensorrt(
        traced.network, traced.checkpoint_spec, Recipe("int8", keep=("features.stem.0",)), calibration
    )
    graph = onnx.load_from_string(payload).graph
    constants = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zero_points = [constants[node.input[2]] for node in pairs]
    assert {point.dtype for point in zero_points} == {np.dtype(np.int8)}
    assert not any(point.any() for point in zero_points)
    made = {name for node in pairs for name in node.output}
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert all(node.input[2] in constants and node.input[2] not in made for node in weighted)
    assert node_precisions(payload)["Conv"] == {"fp32": 1, "int8": 8}
    assert record["kept_nodes"] == {"features.stem.0": [weighted[0].name]}
    # At full optimisation ONNX Runtime rewrites this graph into another one, which is not what TensorRT sees.
    scores = run(payload, judge.images, "ORT_DISABLE_ALL")
    accuracy = float((scores.argmax(axis=1) == judge.labels).mean())
    assert accuracy >= judge.accuracy(traced.payload) - LARGEST_DROP


def test_lower_int8_shares_ranges_between_both_graphs(
    traced: Traced, calibration: CalibrationSet, cache: Path
) -> None:
    _, _, first = lower_int8_for_cpu(traced.network, traced.checkpoint_spec, Recipe("int8"), calibration)
    _, _, second = lower_int8_for_tensorrt(
        traced.network, traced.checkpoint_spec, Recipe("int8"), calibration
    )
    assert first == second
    assert [path.stem for path in cache.iterdir()] == [first["cache_key"]]
