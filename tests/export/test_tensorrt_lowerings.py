"""Half precision as types in the graph, and the two ways to a TensorRT engine."""

# ruff: noqa: E402 - skipped as a whole without torch, which these imports need

from __future__ import annotations

import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from export.bake import bake, example_input
from export.half import HalfNetwork, halve
from export.lowering import Request
from export.lowerings.tensorrt_lowering import TensorRTLowering
from export.lowerings.torch2trt_lowering import Torch2trtLowering
from runtimes import Dim, EngineError, EngineMissingError, ProofError, TensorInfo, UsageError
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.export.torch2trt_stand_in import install_torch2trt

REQUEST = Request(precision="fp16", max_batch=4, manifest_bytes=0)
# Half rounds at 5e-4 of a value; through three layers and a softmax a few of these remain.
HALF_TOLERANCE = 5e-3


@pytest.fixture
def spec() -> Spec:
    image = ImageInput(
        "grey", (8, 8), "stretch", None, "bilinear", (0, 0, 0), (0, 0, 0), 1 / 255, (0.3,), (0.02,)
    )
    graph = Graph(
        "main",
        (TensorInfo("image", "float32", (Dim(), 1, 8, 8)),),
        (TensorInfo("scores", "float32", (Dim(), 3)),),
    )
    output = ClassificationOutput(("bag", "hat", "shoe"), "softmax", 3)
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


def test_halve_keeps_ends_and_normalisation_in_fp32(network: Any, spec: Spec) -> None:
    baked, baked_spec = bake(network, spec, fold=False)
    half = halve(baked)
    image = example_input(baked_spec, batch=3)
    seen: list[Any] = []
    half.network.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    with torch.no_grad():
        answers, wanted = half(*image), baked(*image)
    assert seen == [torch.float16]
    assert image[0].dtype == torch.uint8
    assert answers.dtype == torch.float32
    # A standard deviation of 0.02 turns pixels into numbers up to 35: in half from the start, or with the
    # raw 0..255 range in the convolution, the answers would be further off.
    torch.testing.assert_close(answers, wanted, rtol=0, atol=HALF_TOLERANCE)
    assert {p.dtype for p in half.network.parameters()} == {torch.float16}
    assert {p.dtype for p in baked.parameters()} == {p.dtype for p in network.parameters()} == {torch.float32}


def test_half_network_casts_every_kind_of_output() -> None:
    class Many(torch.nn.Module):
        def forward(self, x: Any, index: Any) -> Any:
            return {"pair": (x * 2, [x]), "index": index, "none": None}

    outputs = HalfNetwork(Many())(torch.ones(2), torch.ones(2, dtype=torch.int64))
    assert outputs["pair"][0].dtype == outputs["pair"][1][0].dtype == torch.float32
    assert outputs["index"].dtype == torch.int64
    assert outputs["none"] is None


@pytest.mark.parametrize("value", [7e4, float("inf"), float("nan")])
def test_half_network_refuses_weights_out_of_range(network: Any, value: float) -> None:
    with torch.no_grad():
        network[5].weight[1, 2] = value
    with pytest.raises(ProofError, match=r"Weight '5\.weight': got magnitude .*expected at most 65504"):
        HalfNetwork(network)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16")])
def test_tensorrt_lowering_builds_what_was_asked_for(
    network: Any, spec: Spec, precision: str, dtype: str
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    lowering = TensorRTLowering()
    lowering.check(precision)
    lowered = lowering.lower(network, spec, Request(precision, 4, 0))
    assert lowered.payload[1:4] == b"trt"
    assert lowered.precision["requested"] == precision
    assert {kind: set(counts) for kind, counts in lowered.precision["layers"].items()} == {
        "CONVOLUTION": {dtype},
        "MATRIX_MULTIPLY": {dtype},
    }
    graph = lowered.spec.graph()
    assert graph.inputs == (TensorInfo("image", "uint8", (Dim(1, 4), 8, 8, 1)),)
    assert graph.outputs == (TensorInfo("scores", "float32", (Dim(1, 4), 3)),)
    assert set(lowered.facts["builder"]) <= {"tensorrt", "tensorrt_rtx"}


def test_tensorrt_lowering_checks_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"int8 for \.trt, expected one of fp32, fp16"):
        TensorRTLowering().check("int8")
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
