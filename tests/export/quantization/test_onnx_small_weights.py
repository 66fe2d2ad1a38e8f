"""Dynamic INT8 and weight-only INT8 and INT4: which graphs take them, and what they leave."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.quantization.integer_types import IntegerTypes
from export.quantization.onnx_dynamic import quantize_dynamic_graph
from export.quantization.onnx_precision import node_precisions, weight_types
from export.quantization.onnx_weights import store_weights_as_int4, store_weights_as_int8
from runtimes import UsageError
from tests.export.quantization.conftest import Judge, Traced, optimised_operators, run

FEATURES, HIDDEN, CLASSES, STEPS = 32, 128, 5, 6
LARGEST_ERROR = {"int8": 0.03, "int4": 0.2}
"""Of outputs whose standard deviation is about 0.2 to 0.5: a few steps of eight bits, of four."""
U8S8 = IntegerTypes("uint8", "int8", False, "test")


class LastStep(nn.Module):
    """An LSTM and a linear layer on its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.classifier = nn.Linear(HIDDEN, CLASSES)

    def forward(self, series: Tensor) -> Tensor:
        """Scores (N, classes) of series (N, steps, features)."""
        states, _ = self.lstm(series)
        return self.classifier(states[:, -1])


def _export(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (torch.randn(2, *shape),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


@pytest.fixture(scope="module")
def perceptron() -> bytes:
    """Three linear layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        return _export(nn.Sequential(*layers, nn.Linear(HIDDEN, CLASSES)), (FEATURES,))


@pytest.fixture(scope="module")
def recurrent() -> bytes:
    """An LSTM classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _export(LastStep(), (STEPS, FEATURES))


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_dynamic_perceptron_computes_in_integers(perceptron: bytes, granularity: str, tmp_path: Path) -> None:
    payload = quantize_dynamic_graph(perceptron, granularity, U8S8)
    assert node_precisions(payload)["MatMul"] == {"int8": 3}
    assert optimised_operators(payload, tmp_path).count("DynamicQuantizeMatMul") == 3
    assert len(payload) < len(perceptron) / 2.5
    noise = _noise(7, FEATURES)
    np.testing.assert_allclose(run(payload, noise), run(perceptron, noise), atol=LARGEST_ERROR["int8"])


def test_dynamic_lstm_computes_in_integers(recurrent: bytes) -> None:
    payload = quantize_dynamic_graph(recurrent, "per-channel", U8S8)
    nodes = node_precisions(payload)
    assert nodes["LSTM"] == {"int8": 1}
    assert nodes["MatMul"] == {"int8": 1}
    assert len(payload) < len(recurrent) / 2.5
    noise = _noise(3, STEPS, FEATURES)
    np.testing.assert_allclose(run(payload, noise), run(recurrent, noise), atol=LARGEST_ERROR["int8"])


@pytest.fixture(scope="module")
def convolution() -> bytes:
    """A network of convolutions alone."""
    return _export(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8))


def test_dynamic_refuses_a_graph_of_convolutions(convolution: bytes) -> None:
    with pytest.raises(UsageError, match="int8-dynamic for a graph without linear or LSTM layers"):
        quantize_dynamic_graph(convolution, "per-channel", U8S8)


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_int8_weights_shrink_the_file_and_nothing_else(
    granularity: str, traced: Traced, judge: Judge, tmp_path: Path
) -> None:
    payload = store_weights_as_int8(traced.payload, granularity)
    assert len(payload) < len(traced.payload) / 3.2
    assert judge.accuracy(payload) == pytest.approx(judge.accuracy(traced.payload), abs=0.02)
    nodes = node_precisions(payload)
    assert nodes["Conv"] == {"int8-weights": 9}
    assert nodes["Gemm"] == {"int8-weights": 1}
    assert "Mul" not in nodes
    # Unpacked once, at loading: the same operators run as in fp32.
    (tmp_path / "fp32").mkdir()
    plain = optimised_operators(traced.payload, tmp_path / "fp32")
    assert optimised_operators(payload, tmp_path) == plain


def test_int8_weights_are_within_half_a_step(traced: Traced) -> None:
    name = "network.features.stage2.0.0.weight"
    before = onnx.load_from_string(traced.payload).graph.initializer
    weight = next(onnx.numpy_helper.to_array(w) for w in before if w.name == name)
    graph = onnx.load_from_string(store_weights_as_int8(traced.payload, "per-channel")).graph
    product = next(node for node in graph.node if node.output[0] == name)
    cast = next(node for node in graph.node if node.output[0] == product.input[0])
    stored = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    small, scale = stored[cast.input[0]], stored[product.input[1]]
    assert small.dtype == np.int8
    assert scale.shape == (16, 1, 1, 1)
    # Half a step, and a few units in the last place of the division.
    assert (np.abs(small * scale - weight) <= scale * 0.50001).all()


def test_int8_weights_reach_recurrent_layers(recurrent: bytes) -> None:
    payload = store_weights_as_int8(recurrent, "per-channel")
    assert node_precisions(payload)["LSTM"] == {"int8-weights": 1}
    assert len(payload) < len(recurrent) / 3
    noise = _noise(3, STEPS, FEATURES)
    np.testing.assert_allclose(run(payload, noise), run(recurrent, noise), atol=LARGEST_ERROR["int8"])


def test_int4_weights_store_eight_times_less(perceptron: bytes) -> None:
    payload = store_weights_as_int4(perceptron)
    assert node_precisions(payload)["MatMul"] == {"int4-weights": 3}
    assert weight_types(payload)["uint8"] >= (FEATURES + HIDDEN + CLASSES) * HIDDEN // 2
    assert len(payload) < len(perceptron) / 4
    noise = _noise(7, FEATURES)
    np.testing.assert_allclose(run(payload, noise), run(perceptron, noise), atol=LARGEST_ERROR["int4"])


def test_int4_weights_refuse_a_graph_without_linear_layers(convolution: bytes) -> None:
    with pytest.raises(UsageError, match="int4-weights for a graph without linear layers"):
        store_weights_as_int4(convolution)
