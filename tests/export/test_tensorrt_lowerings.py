"""The two ways to a TensorRT engine, and the precisions that they read back."""

# ruff: noqa: E402 - skipped as a whole without torch, which these imports need

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from export.calibration import CalibrationSet
from export.lowering import Request
from export.lowerings.tensorrt_graph_lowering import TensorRTGraphLowering
from export.lowerings.tensorrt_lowering import TensorRTLowering
from export.lowerings.torch2trt_lowering import Torch2trtLowering
from export.recipe import Recipe
from runtimes import Dim, EngineError, EngineMissingError, ProofError, TensorInfo, UsageError
from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_options import BuildOptions
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.export.torch2trt_stand_in import install_torch2trt

REQUEST = Request(Recipe("fp16"), max_batch=4, manifest_bytes=0)


@pytest.fixture
def spec() -> Spec:
    image = ImageInput(
        "grey", (8, 8), "stretch", None, "bilinear", (0, 0, 0), (0, 0, 0), 1 / 255, (0.3,), (0.02,), "full",
        ("identity",),
    )  # fmt: skip
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 1, 8, 8)),),
        (TensorInfo("scores", "float32", (Dim(), 3)),),
    )
    output = ClassificationOutput(("bag", "hat", "shoe"), "softmax", 3, 1.0)
    return Spec(SPEC_VERSION, "small", "product", image, output, (graph,), (), Network("small", {}))


@pytest.fixture
def network() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(4, 3),
        ).eval()


@pytest.fixture
def calibration() -> CalibrationSet:
    generator = np.random.default_rng(2)
    items = [generator.integers(0, 256, (8, 8)).astype(np.uint8) for _ in range(32)]
    return CalibrationSet("train", items, hashlib.sha256(np.stack(items).tobytes()).hexdigest())


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("int8", "int8")])
def test_tensorrt_lowering_builds_what_was_asked_for(
    network: Any, spec: Spec, calibration: CalibrationSet, precision: str, dtype: str
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    lowering = TensorRTLowering()
    lowering.check(precision)
    lowered = lowering.lower(network, spec, Request(Recipe(precision), 4, 0, calibration))
    assert lowered.payload[1:4] == b"trt"
    assert lowered.precision["requested"] == precision
    assert {kind: set(counts) for kind, counts in lowered.precision["layers"].items()} == {
        "CONVOLUTION": {dtype},
        "MATRIX_MULTIPLY": {dtype},
    }
    assert lowered.precision["not_as_requested"] == []
    if precision != "fp32":
        assert lowered.calibration["data_sha256"] == calibration.sha256
    graph = lowered.spec.graph()
    assert graph.inputs == (TensorInfo("image", "uint8", (Dim(1, 4), 8, 8, 1)),)
    assert graph.outputs == (TensorInfo("scores", "float32", (Dim(1, 4), 3)),)
    assert set(lowered.facts["builder"]) <= {"tensorrt", "tensorrt_rtx"}


def test_tensorrt_lowering_names_the_layers_it_kept(
    network: Any, spec: Spec, calibration: CalibrationSet
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    request = Request(Recipe("int8", keep=("5",)), 4, 0, calibration)
    precision = TensorRTLowering().lower(network, spec, request).precision
    assert precision["layers"] == {"CONVOLUTION": {"int8": 1}, "MATRIX_MULTIPLY": {"float32": 1}}
    assert precision["kept"] == ["5"]
    assert len(precision["kept_nodes"]) == 1
    assert precision["not_as_requested"] == []


def test_tensorrt_graph_lowering_writes_what_a_builder_takes(
    network: Any, spec: Spec, calibration: CalibrationSet
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    lowered = TensorRTGraphLowering().lower(network, spec, Request(Recipe("int8"), 4, 0, calibration))
    assert lowered.precision["nodes"]["Conv"] == {"int8": 1}
    assert lowered.precision["types"]["activation"] == "int8"
    built = build_in_subprocess(lowered.payload, BuildOptions("int8", 4))
    record = built.precision_record()
    assert record["layers"] == {"CONVOLUTION": {"int8": 1}, "MATRIX_MULTIPLY": {"int8": 1}}
    assert record["not_as_requested"] == []


def test_tensorrt_lowering_checks_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"int4-weights for \.trt, expected one of fp32, fp16, int8"):
        TensorRTLowering().check("int4-weights")
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineMissingError, match="tensorrt_rtx"):
        TensorRTLowering().check("fp16")


def test_torch2trt_lowering_leaves_the_host_its_steps(
    network: Any, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = install_torch2trt(monkeypatch)
    stand_in.layers = [{"Name": "conv", "LayerType": "CaskConvolution", "Weights": {"Type": "Half"}}]
    Torch2trtLowering().check("fp16")
    lowered = Torch2trtLowering().lower(network, spec, REQUEST)
    assert lowered.payload.startswith(b"ptrt")
    assert lowered.spec.baked == ()
    assert lowered.spec.batch == Dim(1, 4)
    assert lowered.precision["layers"] == {"CaskConvolution": {"float16": 1}}
    assert lowered.facts == {"builder": {"torch2trt": "0.5.0", "tensorrt": "10.3.0"}}
    assert stand_in.asked == {
        "training": False,
        "inputs": [(1, 1, 8, 8)],
        "input_names": ["image"],
        "output_names": ["scores"],
        "fp16_mode": True,
        "min_shapes": [(1, 1, 8, 8)],
        "opt_shapes": [(1, 1, 8, 8)],
        "max_shapes": [(4, 1, 8, 8)],
    }


def test_torch2trt_lowering_says_when_it_cannot_read_back(
    network: Any, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_torch2trt(monkeypatch)
    lowered = Torch2trtLowering().lower(network, spec, REQUEST)
    assert lowered.precision["read_from"] == "nothing: built without layer details"


def test_torch2trt_lowering_refuses_an_fp32_engine(
    network: Any, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = install_torch2trt(monkeypatch)
    output = {"Format/Datatype": "Row major linear FP32"}
    stand_in.layers = [{"Name": "conv", "LayerType": "CaskConvolution", "Outputs": [output]}]
    with pytest.raises(ProofError, match=r"got 'conv' \(float32\)"):
        Torch2trtLowering().lower(network, spec, REQUEST)


def test_torch2trt_lowering_passes_on_a_converter_error(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch2trt(monkeypatch)
    with pytest.raises(EngineError, match=r"torch2trt: got .*--to trt"):
        Torch2trtLowering().lower(torch.nn.Linear(5, 5), spec, REQUEST)


def test_torch2trt_lowering_needs_an_older_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch2trt(monkeypatch, "11.4.0")
    with pytest.raises(EngineError, match=r"got TensorRT 11\.4\.0, expected TensorRT 10 or earlier"):
        Torch2trtLowering().check("fp16")


def test_torch2trt_lowering_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch2trt(monkeypatch)
    monkeypatch.setitem(sys.modules, "torch2trt", None)
    with pytest.raises(EngineMissingError, match="Package torch2trt: got no usable package"):
        Torch2trtLowering().check("fp32")
