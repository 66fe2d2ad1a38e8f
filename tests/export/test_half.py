"""Half precision with islands of fp32: what overflows stays wide, what fails is refused by name."""

# ruff: noqa: E402 - skipped as a whole without torch, which these imports need

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

from export.calibration import CalibrationSet
from export.half import _prepared, lower_to_half
from export.half_check import open_exactly, require_finite, rounded
from export.half_convert import to_half
from export.half_islands import (
    MOST_SUMMED,
    NO_HALF,
    NORMALISATION,
    OUTSIDE,
    RANGE,
    REDUCTION,
    WEIGHT,
    find_islands,
    fits_half,
)
from export.half_types import HalfTypes
from export.lowering import Request
from export.lowerings.onnx_lowering import OnnxLowering
from export.lowerings.tensorrt_lowering import TensorRTLowering
from export.onnx_graph import lower_to_onnx, trace_onnx
from export.quantization.onnx_layers import nodes_outside
from export.recipe import Recipe
from runtimes import Dim, ProofError, TensorInfo
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

# Half rounds at 5e-4 of a value; through a few layers and a softmax a few of these remain.
HALF_TOLERANCE = 5e-3
TOO_LARGE = 1e5  # past 65504


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


def pictures(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(11)
    return [generator.integers(0, 256, (8, 8)).astype(np.uint8) for _ in range(count)]


@pytest.fixture
def calibration() -> CalibrationSet:
    items = pictures(32)
    return CalibrationSet("train", items, hashlib.sha256(np.stack(items).tobytes()).hexdigest())


@pytest.fixture
def overflowing() -> Any:
    """A network whose middle convolution gives numbers that half cannot hold, which the next undoes."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 4, 3, padding=1, bias=False),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 4, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(4, 3),
        ).eval()
    with torch.no_grad():
        network[2].weight *= TOO_LARGE
        network[4].weight /= TOO_LARGE
    return network


def run(payload: bytes, feeds: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def feeds_of(spec: Spec, count: int = 5) -> dict[str, Any]:
    return spec.input.batch([spec.input.load(item) for item in pictures(count)], spec.baked)


def types_in(payload: bytes) -> dict[str, str]:
    """Element type of each node's first output, by node name."""
    graph = onnx.shape_inference.infer_shapes(
        onnx.load_from_string(payload), check_type=True, strict_mode=True
    ).graph
    known = {i.name: i.type.tensor_type.elem_type for i in (*graph.value_info, *graph.output)}
    return {node.name: TensorProto.DataType.Name(known[node.output[0]]) for node in graph.node}


def test_overflowing_layer_is_an_island_with_right_answers(
    overflowing: Any, spec: Spec, calibration: CalibrationSet
) -> None:
    lowered = OnnxLowering().lower(overflowing, spec, Request(Recipe("fp16"), 4, 0, calibration))
    wide, baked_spec = lower_to_onnx(overflowing, spec)
    feeds = feeds_of(baked_spec)
    np.testing.assert_allclose(
        run(lowered.payload, feeds)[0], run(wide, feeds)[0], rtol=0, atol=HALF_TOLERANCE
    )
    exactly, _ = rounded(onnx.load_from_string(lowered.payload))
    (scores,) = open_exactly(exactly).run(["scores"], feeds)
    np.testing.assert_allclose(scores, run(wide, feeds)[0], rtol=0, atol=HALF_TOLERANCE)
    record = lowered.precision
    islands = record["reasons"][RANGE]
    operators = {node.name: node.op_type for node in onnx.load_from_string(lowered.payload).graph.node}
    assert [operators[name] for name in islands] == ["Conv", "Relu", "Conv"]
    assert record["kept_nodes"] == [islands[0], islands[2]]
    assert record["nodes"]["Conv"] == {"fp16": 1, "fp32": 2}
    assert record["nodes"]["Gemm"] == {"fp16": 1}
    assert record["islands"]["Conv"] == 2
    assert {types_in(lowered.payload)[name] for name in islands} == {"FLOAT"}
    # One cast into the network, one into the island, one out of it, one out of the network: none inside.
    assert sum(name.startswith("cast_") for name in operators) == 4
    assert lowered.calibration["data_sha256"] == calibration.sha256
    graph = lowered.spec.graph()
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == ("uint8", "float32")


def test_plain_half_of_the_overflowing_network_is_not_finite(
    overflowing: Any, spec: Spec, calibration: CalibrationSet
) -> None:
    noted, baked_spec = trace_onnx(overflowing, spec, fold=False)
    model = _prepared(noted)
    plain, _ = rounded(to_half(model, nodes_outside(noted), HalfTypes(model)))
    (scores,) = open_exactly(plain).run(["scores"], feeds_of(baked_spec))
    assert np.isnan(scores).all()
    with pytest.raises(ProofError, match=r"NaN or infinity in tensor 'conv2d_1' .* calibration sample 0,"):
        require_finite(to_half(model, nodes_outside(noted), HalfTypes(model)), baked_spec, calibration)


def test_tensorrt_builds_the_islands_and_names_them(
    overflowing: Any, spec: Spec, calibration: CalibrationSet
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    lowered = TensorRTLowering().lower(overflowing, spec, Request(Recipe("fp16"), 4, 0, calibration))
    assert lowered.precision["layers"] == {
        "CONVOLUTION": {"float16": 1, "float32": 2},
        "MATRIX_MULTIPLY": {"float16": 1},
    }
    assert len(lowered.precision["kept_nodes"]) == 2
    assert lowered.precision["not_as_requested"] == []


class _Logarithm(torch.nn.Module):
    """Finite in fp32; in half the smallest powers become 0, whose logarithm is -infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(64, 3)

    def forward(self, image: Any) -> Any:
        return self.linear(torch.log(torch.exp(-image.flatten(1).abs())))


def test_infinity_in_half_is_refused_by_name(spec: Spec, calibration: CalibrationSet) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = _Logarithm().eval()
    with pytest.raises(ProofError) as caught:
        lower_to_half(network, spec, calibration)
    message = str(caught.value)
    assert "Half precision: got NaN or infinity in tensor 'log'" in message
    assert "on calibration sample 0, expected finite numbers" in message
    assert "--precision fp32" in message


def test_first_bad_sample_is_named(spec: Spec) -> None:
    """Grey pictures are harmless to `_Logarithm`; the one white one is number 9."""
    items = [np.full((8, 8), 90, np.uint8) for _ in range(12)]
    items[9] = np.full((8, 8), 255, np.uint8)
    digest = hashlib.sha256(np.stack(items).tobytes()).hexdigest()
    network = _Logarithm().eval()
    with pytest.raises(ProofError, match="on calibration sample 9,"):
        lower_to_half(network, spec, CalibrationSet("train", items, digest))


def test_nothing_left_in_half_is_refused(spec: Spec, calibration: CalibrationSet) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
    with torch.no_grad():
        network[1].weight[1, 2] = 7e4
    with pytest.raises(
        ProofError, match=r"every other convolution or matrix product needing fp32 \(constant"
    ):
        lower_to_half(network, spec, calibration)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([1.0, -65504.0], True),
        ([7e4], False),
        ([-np.inf, 0.0], True),
        ([1e-9], False),
        ([1e-9, 1.0], True),
        ([0.0], True),
        ([], True),
    ],
    ids=["largest", "too large", "mask", "vanishes", "vanishes beside others", "zero", "empty"],
)
def test_constant_fits_half(values: list[float], fits: bool) -> None:
    assert fits_half(np.array(values, np.float32)) == fits


def model_of(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    **weights: Any,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return _prepared(model.SerializeToString())


def reasons(
    model: Any, ranges: dict[str, tuple[float, float]], outside: Iterable[str] = ()
) -> dict[str, str]:
    return find_islands(model.graph, ranges, list(outside), HalfTypes(model))


REDUCED = "ReduceMean"


@pytest.mark.parametrize(
    ("operator", "shape", "axes", "largest", "reason"),
    [
        (REDUCED, ["N", MOST_SUMMED], [1], 1.0, None),
        (REDUCED, ["N", MOST_SUMMED + 1], [1], 1.0, REDUCTION),
        (REDUCED, ["N", 4, "T"], [2], 1.0, REDUCTION),
        ("ReduceSum", ["N", 16], [1], 2000.0, REDUCTION),
        ("ReduceSumSquare", ["N", 16], [1], 50.0, REDUCTION),
        ("ReduceMax", ["N", 4096], [1], 1.0, None),
        ("Relu", ["N", 4], None, 2e4, RANGE),
        ("Relu", ["N", 4], None, 1e-5, RANGE),
        ("Softmax", ["N", 4], None, 1.0, NORMALISATION),
        ("NonZero", ["N", 4], None, 1.0, None),
        ("CumSum", ["N", 4], 1, 1.0, REDUCTION),
    ],
    ids=[
        "short sum",
        "long sum",
        "unknown length",
        "sum that overflows",
        "squares that overflow",
        "maximum adds nothing",
        "too large",
        "too small",
        "normalisation",
        "reads floats alone",
        "running sum",
    ],
)
def test_island_reasons(
    operator: str, shape: list[Any], axes: Any, largest: float, reason: str | None
) -> None:
    inputs = ["x"] if axes is None else ["x", "axes"]
    output = "indices" if operator == "NonZero" else "y"
    nodes = [helper.make_node(operator, inputs, [output], "n")]
    if operator == "NonZero":
        nodes.append(helper.make_node("Identity", ["x"], ["y"], "copy"))
    weights = {} if axes is None else {"axes": np.int64(axes)}
    model = model_of(nodes, {"x": shape}, {"y": None}, **weights)  # type: ignore[dict-item]
    found = reasons(model, {"x": (-largest, largest / 2)})
    assert found.get("n") == reason


def test_islands_outside_and_without_half() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "normalise"),
        helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["picked"], "nms"),
        helper.make_node("Cast", ["picked"], ["y"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scaled", "huge"], ["z"], "weighted"),
    ]
    model = model_of(
        nodes,
        {"x": ["N", 2], "boxes": [1, 3, 4], "scores": [1, 1, 3]},
        {"y": None, "z": None},  # type: ignore[dict-item]
        scale=np.float32(2),
        huge=np.float32(1e6),
    )
    assert reasons(model, {}, ["normalise"]) == {"normalise": OUTSIDE, "nms": NO_HALF, "weighted": WEIGHT}


def test_to_half_shares_constants_and_casts() -> None:
    """An island between half nodes: one cast per tensor and type, the shared constant in both types."""
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["a"], "first"),
        helper.make_node("Mul", ["a", "w"], ["b"], "island1"),
        helper.make_node("Add", ["a", "b"], ["c"], "island2"),
        helper.make_node("Add", ["c", "only"], ["d"], "last1"),
        helper.make_node("Mul", ["c", "d"], ["y"], "last2"),
    ]
    weights = {"w": np.full(3, 1.5, np.float32), "only": np.ones(3, np.float32)}
    model = model_of(nodes, {"x": ["N", 3]}, {"y": ["N", 3], "c": ["N", 3]}, **weights)
    half = to_half(model, ["island1", "island2"], HalfTypes(model))
    found = types_in(half.SerializeToString())
    assert {name: found[name] for name in ("first", "island1", "island2", "last1", "last2")} == {
        "first": "FLOAT16",
        "island1": "FLOAT",
        "island2": "FLOAT",
        "last1": "FLOAT16",
        "last2": "FLOAT16",
    }
    assert sum(node.op_type == "Cast" for node in half.graph.node) == 4  # x down, a up, c down, y up
    kinds = {weight.name: weight.data_type for weight in half.graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, "w_float16": TensorProto.FLOAT16, "only": TensorProto.FLOAT16}
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    y, c = run(half.SerializeToString(), {"x": x})
    assert (y.dtype, c.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(c, 1.5 * x + 2.25 * x)
    np.testing.assert_array_equal(y, c * (c + 1))


def test_to_half_respects_inputs_that_stay_wide() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["big"], "resize", mode="nearest"),
        helper.make_node("Shape", ["big"], ["shape"], "shape"),
        helper.make_node("Cast", ["shape"], ["extents"], "cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["extents"], ["side"], "largest", keepdims=0),
        helper.make_node("Div", ["big", "side"], ["y"], "divide"),
    ]
    scales = np.array([1, 1, 2, 2], np.float32)
    model = model_of(nodes, {"x": [1, 1, 2, 2]}, {"y": [1, 1, 4, 4]}, scales=scales)
    payload = to_half(model, [], HalfTypes(model)).SerializeToString()
    found = types_in(payload)
    assert {found[name] for name in ("resize", "cast", "largest", "divide")} == {"FLOAT16"}
    assert {w.data_type for w in onnx.load_from_string(payload).graph.initializer} == {TensorProto.FLOAT}
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(run(payload, {"x": x})[0], x.repeat(2, 2).repeat(2, 3) / 4)


def test_to_half_keeps_what_a_branch_reads() -> None:
    def branch(operator: str) -> Any:
        output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["a", "w"], ["out"])], operator, [], [output])

    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "relu"),
        helper.make_node("ReduceSum", ["a"], ["total"], "sum", keepdims=0),
        helper.make_node("Greater", ["total", "limit"], ["large"], "compare"),
        helper.make_node("If", ["large"], ["b"], "if", then_branch=branch("Mul"), else_branch=branch("Add")),
        helper.make_node("Neg", ["b"], ["y"], "negate"),
    ]
    weights = {"w": np.float32(3), "limit": np.float32(4)}
    model = model_of(nodes, {"x": [2]}, {"y": [2]}, **weights)
    types = HalfTypes(model)
    islands = find_islands(model.graph, {}, [], types)
    assert islands["if"] == NO_HALF
    payload = to_half(model, islands, types).SerializeToString()
    for x, y in (([5.0, -1.0], [-15.0, -0.0]), ([1.0, 2.0], [-4.0, -5.0])):
        np.testing.assert_array_equal(run(payload, {"x": np.array(x, np.float32)})[0], y)


def test_prepared_moves_constants_and_names_nodes() -> None:
    value = numpy_helper.from_array(np.float32(2), "ignored")
    nodes = [
        helper.make_node("Constant", [], ["two"], value=value),
        helper.make_node("Mul", ["x", "two"], ["a"], "same"),
        helper.make_node("Mul", ["a", "two"], ["y"], "same"),
    ]
    model = model_of(nodes, {"x": [2]}, {"y": [2]})
    assert [node.name for node in model.graph.node] == ["Mul_1", "Mul_2"]
    assert [weight.name for weight in model.graph.initializer] == ["two"]
