"""A traced checkpoint, calibration pictures and a cache of each test's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch

from export.calibration import CalibrationSet
from export.onnx_graph import strip_notes, trace_onnx
from runtimes.torch_runtime import load_network
from sdk.artifact import read_artifact
from sdk.spec import Spec
from tests.export.conftest import _read

CALIBRATION_PICTURES, JUDGED_PICTURES = 64, 300


class Traced(NamedTuple):
    """A checkpoint's network as an fp32 graph."""

    network: torch.nn.Module
    checkpoint_spec: Spec
    noted: bytes
    payload: bytes
    spec: Spec


@pytest.fixture(scope="session")
def traced(trained_folder: Path) -> Traced:
    """The small trained checkpoint as ONNX, with the exporter's notes and without."""
    artifact = read_artifact(trained_folder / "product.safetensors")
    network = load_network(artifact.program())
    noted, spec = trace_onnx(network, artifact.spec)
    return Traced(network, artifact.spec, noted, strip_notes(noted), spec)


@pytest.fixture(scope="session")
def calibration(small_data: Path) -> CalibrationSet:
    """Pictures of the training split."""
    return calibration_of(small_data, 0)


def calibration_of(folder: Path, start: int) -> CalibrationSet:
    """Training pictures from number `start` on."""
    images = _read(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    items = list(images[start : start + CALIBRATION_PICTURES])
    return CalibrationSet("train", items, hashlib.sha256(np.stack(items).tobytes()).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of ranges."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgewright" / "calibration"


@pytest.fixture(scope="session")
def judge(small_data: Path) -> Judge:
    """Accuracy on test pictures."""
    images = _read(small_data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:JUDGED_PICTURES]
    labels = _read(small_data / "t10k-labels-idx1-ubyte.gz", 8)[:JUDGED_PICTURES]
    return Judge(images, labels)


class Judge(NamedTuple):
    """Test pictures (N, 28, 28, 1) and their classes."""

    images: np.ndarray
    labels: np.ndarray

    def scores(self, payload: bytes) -> np.ndarray:
        """What a graph says, (N, classes)."""
        return run(payload, self.images)

    def accuracy(self, payload: bytes) -> float:
        """Fraction of right answers."""
        return float((self.scores(payload).argmax(axis=1) == self.labels).mean())


def run(payload: bytes, array: np.ndarray, level: str = "ORT_ENABLE_ALL") -> np.ndarray:
    """The first output of a model with one input, in ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: array})
    return outputs[0]


def optimised_operators(payload: bytes, scratch: Path) -> list[str]:
    """Operators that ONNX Runtime really runs, after it has optimised the graph for this machine."""
    import onnx

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(scratch / "optimised.onnx")
    onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(scratch / "optimised.onnx").graph.node]
