"""Ranges of activations: what each calibrator finds, what is refused, and when the cache is used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.calibration import CalibrationSet
from export.quantization import onnx_collectors, onnx_ranges
from export.quantization.onnx_collectors import collector_for, least_squares_range
from export.quantization.onnx_ranges import measure_ranges, observe
from export.recipe import CALIBRATORS
from runtimes import EngineError, ProofError, UsageError
from tests.export.quantization.conftest import Traced, calibration_of

EDGES = np.linspace(-4, 4, 9)
FLOAT_DIGITS = 1e-6
"""Ranges are rounded to single precision."""


def _histogram(**counts: int) -> np.ndarray:
    """Counts of the eight bins between -4 and 4, given as such as ``p05=3`` for the one around 0.5."""
    centres = ["m35", "m25", "m15", "m05", "p05", "p15", "p25", "p35"]
    return np.array([counts.get(name, 0) for name in centres])


@pytest.mark.parametrize(
    ("counts", "seen", "expected"),
    [
        # Two steps. t=1 gives 0.5 back exactly and clips 3.5: error 6.25. t=4 rounds 0.5 to 0: 25 + 0.25.
        pytest.param(_histogram(p05=100, p35=1), (0.0, 4.0), (0.0, 1.0), id="outlier-is-clipped"),
        # t=1 clips a hundred at 3.5: 625. t=4: 25 + 25 with a hundred each; t=3: 25 + 25 as well: wider wins.
        pytest.param(_histogram(p05=100, p35=100), (0.0, 4.0), (0.0, 4.0), id="common-value-is-not"),
        # Grid -1, 0, 1 for t=1 leaves 6.25 on either side, -2, 0, 2 leaves 2 x 2.25, -4, 0, 4 only 2 x 0.25.
        pytest.param(_histogram(m35=1, p35=1), (-4.0, 4.0), (-4.0, 4.0), id="both-signs"),
        pytest.param(_histogram(p05=5), (0.4, 0.6), (0.0, 0.6), id="zero-is-always-held"),
        pytest.param(_histogram(), (0.0, 0.0), (0.0, 0.0), id="nothing-but-zero"),
    ],
)
def test_least_squares_range_on_histograms_worked_out_by_hand(
    counts: np.ndarray, seen: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert least_squares_range(counts, EDGES, seen, steps=2, thresholds=4) == pytest.approx(expected)


@pytest.mark.parametrize("method", CALIBRATORS)
def test_collector_ranges_lie_within_what_was_seen(method: str) -> None:
    generator = np.random.default_rng(0)
    collector = collector_for(method)
    batches = [generator.normal(size=(16, 50)).astype(np.float32) for _ in range(3)]
    for batch in batches:
        collector.collect({"signed": batch, "positive": np.abs(batch)})
    ranges = collector.ranges()
    everything = np.concatenate(batches)
    low, high = ranges["signed"]
    assert everything.min() - FLOAT_DIGITS <= low < -1
    assert 1 < high <= everything.max() + FLOAT_DIGITS
    assert ranges["positive"][0] >= 0


def test_collector_minmax_is_exact_over_batches() -> None:
    collector = collector_for("minmax")
    for batch in ([1.0, -2.0], [5.0, 0.0]):
        collector.collect({"x": np.array(batch, np.float32)})
    assert collector.ranges() == {"x": (-2.0, 5.0)}


@pytest.mark.parametrize("method", ["percentile", "entropy", "mse"])
def test_collector_cuts_a_lone_outlier(method: str) -> None:
    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    values[0] = 40
    collector = collector_for(method)
    collector.collect({"x": values})
    assert collector.ranges()["x"][1] < 35


@pytest.mark.parametrize(("method", "other"), [("entropy", "percentile"), ("percentile", "minmax")])
def test_collector_refuses_ranges_too_thin_for_a_histogram(method: str, other: str) -> None:
    thin = np.array([1e-45, 0], np.float32) if method == "entropy" else np.float32([1, 1 + 1.2e-7])
    with pytest.raises(EngineError, match=f"Too many bins.* Say --calibrator {other}"):
        collector_for(method).collect({"x": thin})


def _logarithm() -> bytes:
    """A graph that gives NaN for negative numbers and minus infinity for zero."""
    nodes = [helper.make_node("Log", ["x"], ["logarithm"]), helper.make_node("Exp", ["logarithm"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()


@pytest.mark.parametrize("bad", [-1.0, 0.0], ids=["nan", "infinity"])
@pytest.mark.parametrize("method", CALIBRATORS)
def test_observe_names_the_activation_that_is_not_finite(method: str, bad: float) -> None:
    batches = [{"x": np.float32([[1, 2]])}, {"x": np.float32([[1, bad]])}]
    with pytest.raises(ProofError, match="Activation 'logarithm': got NaN or infinity on calibration data"):
        observe(_logarithm(), batches, method)


def test_observe_says_what_does_not_fit_the_graph() -> None:
    with pytest.raises(EngineError, match="Calibration run: got .*Invalid rank"):
        observe(_logarithm(), [{"x": np.float32([1, 2])}], "minmax")


def test_observe_covers_inputs_and_outputs() -> None:
    ranges = observe(_logarithm(), [{"x": np.float32([[1, 2]])}, {"x": np.float32([[1, 4]])}], "minmax")
    assert ranges == {"x": (1, 4), "logarithm": pytest.approx((0, np.log(4))), "y": pytest.approx((1, 4))}


def test_measure_ranges_records_where_they_come_from(traced: Traced, calibration: CalibrationSet) -> None:
    measured = measure_ranges(traced.payload, traced.spec, calibration, "minmax")
    record = measured.record
    assert (record["method"], record["split"], record["samples"]) == ("minmax", "train", 64)
    assert record["data_sha256"] == calibration.sha256
    assert record["ranges"]["scores"][0] >= 0 and record["ranges"]["scores"][1] <= 1
    assert list(measured.ranges)[:1] == ["_to_copy"]


def test_measure_ranges_reads_the_cache_the_second_time(
    traced: Traced, calibration: CalibrationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure_ranges(traced.payload, traced.spec, calibration, "mse")
    monkeypatch.setattr(onnx_ranges, "observe", _never)
    second = measure_ranges(traced.payload, traced.spec, calibration, "mse")
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.ranges == second.ranges


def _never(*_arguments: object) -> None:
    raise AssertionError("measured although it was in the cache")


def _other_model(payload: bytes) -> bytes:
    model = onnx.load_from_string(payload)
    weight = next(w for w in model.graph.initializer if w.name == "network.features.stem.0.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    return model.SerializeToString()


@pytest.mark.parametrize("changed", ["model", "data", "method", "parameters", "preprocessing", "engine"])
def test_measure_ranges_measures_again_when_anything_changed(
    changed: str,
    traced: Traced,
    calibration: CalibrationSet,
    small_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payload, spec, method = traced.payload, traced.spec, "percentile"
    first = measure_ranges(payload, spec, calibration, method)
    if changed == "model":
        payload = _other_model(payload)
    elif changed == "data":
        calibration = calibration_of(small_data, 64)
    elif changed == "method":
        method = "minmax"
    elif changed == "parameters":
        monkeypatch.setitem(onnx_collectors.PARAMETERS, method, {"num_bins": 100, "percentile": 99.0})
    elif changed == "preprocessing":
        spec = replace(spec, input=replace(spec.input, resize="letterbox"))
    else:
        monkeypatch.setattr("onnxruntime.__version__", "0.0")
    second = measure_ranges(payload, spec, calibration, method)
    assert not second.from_cache
    assert second.record["cache_key"] != first.record["cache_key"]


@pytest.mark.parametrize("damage", ["truncated", "altered", "renamed", "nan", "emptied"])
def test_measure_ranges_measures_again_when_the_file_is_damaged(
    damage: str, traced: Traced, calibration: CalibrationSet, cache: Path
) -> None:
    first = measure_ranges(traced.payload, traced.spec, calibration, "minmax")
    path = cache / f"{first.record['cache_key']}.json"
    content = json.loads(path.read_text())
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "emptied":
        path.write_text("[]")
    elif damage == "renamed":
        path.write_text(json.dumps({**content, "key": "0" * 64}))
    else:
        content["ranges"]["scores"][1] = float("nan") if damage == "nan" else 2.0
        path.write_text(json.dumps(content))
    again = measure_ranges(traced.payload, traced.spec, calibration, "minmax")
    assert not again.from_cache
    assert again.ranges == first.ranges
    assert measure_ranges(traced.payload, traced.spec, calibration, "minmax").from_cache


def test_measure_ranges_says_that_the_cache_cannot_be_written(
    traced: Traced, calibration: CalibrationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="Calibration cache: got .*Point XDG_CACHE_HOME"):
        measure_ranges(traced.payload, traced.spec, calibration, "minmax")


def test_cache_folder_ignores_a_relative_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from export.quantization.range_cache import cache_folder

    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgewright" / "calibration"
