"""The TensorRT builder: TensorRT-RTX for real, without a GPU; the FP16 switch of older ones on a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from runtimes import (
    Dim,
    EngineError,
    EngineMissingError,
    ProofError,
    TensorInfo,
    UsageError,
)
from runtimes.cuda_memory import gpu_count
from runtimes.errors import DeviceError
from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_builder import FROM_ENGINE, FROM_NETWORK, BuiltEngine, build_engine
from runtimes.tensorrt_config import AHEAD_OF_TIME
from runtimes.tensorrt_layers import Layer, check_precision, not_as_requested, precision_counts
from runtimes.tensorrt_options import DEFAULT_MAX_BATCH, BuildOptions
from runtimes.tensorrt_package import maker_of
from tests.runtimes.small_onnx import small_cnn, small_int8_cnn
from tests.runtimes.tensorrt_builder_stand_in import install_builder, make_graph, make_int8_graph

try:
    import tensorrt_rtx

    RTX_VERSION = tensorrt_rtx.__version__
except ImportError:
    RTX_VERSION = None

needs_rtx = pytest.mark.skipif(RTX_VERSION is None, reason="tensorrt_rtx is not installed")
RTX = "tensorrt_rtx"


def has_gpu() -> bool:
    try:
        return gpu_count() > 0
    except EngineMissingError:
        return False


def build(onnx_bytes: bytes, **options: Any) -> BuiltEngine:
    return build_in_subprocess(onnx_bytes, BuildOptions(package=RTX, **options), timeout_s=120)


@needs_rtx
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16")])
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "as the graph is"])
def test_build_reads_the_precision_back(precision: str, dtype: str, asked: bool) -> None:
    built = build(small_cnn(dtype), precision=precision if asked else None)
    assert built.precision == precision
    assert {(layer.name, layer.dtype) for layer in built.layers if layer.computes} == {
        ("conv1", dtype),
        ("fc", dtype),
    }
    assert ("softmax", "float32") in {(layer.name, layer.dtype) for layer in built.layers}
    assert built.outputs == {"scores": "float32"}
    assert maker_of(built.plan) == RTX
    assert built.tools == {RTX: RTX_VERSION}


@needs_rtx
@pytest.mark.skipif(has_gpu(), reason="there is a GPU, for which alone is built then")
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16")])
def test_build_without_gpu_is_for_several_generations(precision: str, dtype: str) -> None:
    built = build(small_cnn(dtype))
    assert built.targets == AHEAD_OF_TIME[precision]
    assert built.precision_record() == {
        "requested": precision,
        "layers": {"CONVOLUTION": {dtype: 1}, "MATRIX_MULTIPLY": {dtype: 1}},
        "read_from": FROM_NETWORK,
        "kept_nodes": [],
        "not_as_requested": [],
    }


@needs_rtx
@pytest.mark.parametrize("precision", ["int8", None], ids=["asked for", "as the graph is"])
def test_build_of_a_quantised_graph_reads_int8_back(precision: str | None) -> None:
    built = build(small_int8_cnn(), precision=precision)
    assert built.precision == "int8"
    assert {(layer.name, layer.dtype) for layer in built.layers if layer.computes} == {
        ("conv1", "int8"),
        ("fc", "int8"),
    }
    assert built.precision_record()["not_as_requested"] == []
    if not has_gpu():
        assert built.targets == AHEAD_OF_TIME["int8"]


@needs_rtx
@pytest.mark.parametrize("kept", [(), ("fc",)], ids=["unforeseen", "kept"])
def test_build_lists_what_did_not_become_int8(kept: tuple[str, ...]) -> None:
    record = build(small_int8_cnn(("conv1",)), kept=kept).precision_record()
    assert record["layers"] == {"CONVOLUTION": {"int8": 1}, "MATRIX_MULTIPLY": {"float32": 1}}
    assert (record["kept_nodes"], record["not_as_requested"]) == (["fc"], []) if kept else ([], ["fc"])


@needs_rtx
@pytest.mark.parametrize(
    "options", [{"unsigned": True}, {"bias_int32": True}], ids=["unsigned with zero-point", "int32 bias"]
)
def test_build_refuses_a_graph_quantised_for_a_cpu(options: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as caught:
        build(small_int8_cnn(**options))
    message = str(caught.value)
    assert "expected an int8 graph made for TensorRT: signed, zero-points of 0, biases in float" in message
    assert "`edgewright export CHECKPOINT --to trt-onnx --precision int8`" in message
    assert "\n" not in message


@needs_rtx
def test_build_of_islands_needs_them_declared() -> None:
    mixed = _half_with_wide_product()
    with pytest.raises(ProofError, match=r"got 'fc' \(float32\), expected every convolution"):
        build(mixed, precision="fp16")
    built = build(mixed, precision="fp16", kept=("fc",))
    record = built.precision_record()
    assert record["layers"] == {"CONVOLUTION": {"float16": 1}, "MATRIX_MULTIPLY": {"float32": 1}}
    assert (record["kept_nodes"], record["not_as_requested"]) == (["fc"], [])
    if not has_gpu():
        assert "SM75" not in built.targets


def _half_with_wide_product() -> bytes:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(small_cnn("float16"))
    nodes = {node.name: node for node in model.graph.node}
    nodes["cast_up"].input[0], nodes["cast_up"].output[0] = "flat", "wide_flat"
    nodes["fc"].input[0], nodes["fc"].output[0] = "wide_flat", "wide"
    for weight in model.graph.initializer:
        if weight.name in ("matrix", "bias"):
            values = numpy_helper.to_array(weight).astype("float32")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    ordered = [nodes.pop(name) for name in ("cast_up", "fc", "softmax")]
    made = [onnx.NodeProto.FromString(node.SerializeToString()) for node in [*nodes.values(), *ordered]]
    del model.graph.node[:]
    model.graph.node.extend(made)
    return bytes(model.SerializeToString())


@needs_rtx
def test_build_may_use_sparse_kernels() -> None:
    built = build(small_cnn("float16"), sparse=True)
    assert built.sparse
    assert built.precision == "fp16"


def test_build_says_when_there_are_no_sparse_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    install_builder(monkeypatch, "10.3.0")
    with pytest.raises(UsageError, match="'sparse': got tensorrt 10.3.0, which has no kernels for sparse"):
        build_engine(make_graph("float32"), BuildOptions(sparse=True))


@needs_rtx
@pytest.mark.parametrize(
    ("asked", "largest"), [(None, DEFAULT_MAX_BATCH), (5, 5)], ids=["default", "asked for"]
)
def test_build_bounds_an_open_batch(asked: int | None, largest: int) -> None:
    built = build(small_cnn(), max_batch=asked)
    assert built.inputs == (TensorInfo("image", "uint8", (Dim(1, largest), 8, 8, 1)),)
    assert built.max_batch == largest


@needs_rtx
def test_build_keeps_a_fixed_batch() -> None:
    built = build(small_cnn(batch=2))
    assert built.inputs == (TensorInfo("image", "uint8", (2, 8, 8, 1)),)
    assert built.max_batch == 2
    with pytest.raises(UsageError, match="'max_batch': got 4, expected 2, the fixed batch of input 'image'"):
        build(small_cnn(batch=2), max_batch=4)


@needs_rtx
@pytest.mark.parametrize(
    ("dtype", "asked", "got"),
    [
        ("float32", "fp16", "fp32"),
        ("float16", "fp32", "fp16"),
        ("int8", "fp32", "int8"),
        ("float32", "int8", "fp32"),
    ],
    ids=["fp16", "fp32", "fp32 of int8", "int8"],
)
def test_build_refuses_what_the_graph_is_not(dtype: str, asked: str, got: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(small_int8_cnn() if dtype == "int8" else small_cnn(dtype), precision=asked)
    message = str(caught.value)
    assert message.startswith(f"ONNX graph: got one in {got}, expected one in {asked}: {RTX} ")
    target = "trt-onnx" if asked == "int8" else "onnx"
    assert message.endswith(f"Run `edgewright export CHECKPOINT --to {target} --precision {asked}` first.")


@needs_rtx
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"\xff\xff\xff", "parser: got the file: .*Failed to parse the ONNX model"),
        (lambda: b"", "ONNX graph: got 0 bytes without any output"),
        (lambda: small_cnn()[:700], "tensorrt_rtx parser"),
        (lambda: small_cnn(operator="NoSuchThing"), r"got node 'activation' \(NoSuchThing\): "),
    ],
    ids=["no protobuf", "empty", "truncated", "unknown operator"],
)
def test_build_tells_in_one_line_what_it_cannot_parse(make: Callable[[], bytes], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        build(make())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@needs_rtx
@pytest.mark.skipif(has_gpu(), reason="there is a GPU, for which alone is built then")
def test_build_passes_on_why_the_builder_failed() -> None:
    with pytest.raises(EngineError, match=r"TensorRT build: got .*FP32 GEMM is not supported"):
        build(small_cnn(), compute_capabilities=("SM75",))


@needs_rtx
def test_build_refuses_an_unknown_generation() -> None:
    with pytest.raises(UsageError, match="'compute_capabilities': got 'SM42', expected some of"):
        build(small_cnn(), compute_capabilities=("SM42",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "'precision': got 'int4', expected one of fp32, fp16, int8"),
        ({"max_batch": 0}, "'max_batch': got 0, expected a whole number from 1"),
        ({"workspace_mb": True}, "'workspace_mb': got True"),
        ({"max_batch": 2, "opt_batch": 3}, "'opt_batch': got 3, expected at most max_batch, 2"),
    ],
    ids=["precision", "max_batch", "workspace_mb", "opt_batch"],
)
def test_options_refuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BuildOptions(**options)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Layer("a", "CONVOLUTION", "float32")], r"got 'a' \(float32\), expected every convolution"),
        (
            [Layer(name, "MATRIX_MULTIPLY", "float32") for name in "abcde"],
            r"got 'a' \(float32\), 'b' \(float32\), 'c' \(float32\) and 2 more",
        ),
        ([Layer("s", "SOFTMAX", "float16")], "got no convolution or matrix product"),
        ([], "got no convolution or matrix product"),
    ],
    ids=["one", "five", "none that computes", "none"],
)
def test_check_precision_refuses(layers: list[Layer], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        check_precision("fp16", layers)


def test_check_precision_judges_compute_layers_alone() -> None:
    layers = [Layer("c", "CONVOLUTION", "float16"), Layer("s", "SOFTMAX", "float32")]
    check_precision("fp16", layers)
    assert precision_counts(layers) == {"CONVOLUTION": {"float16": 1}, "SOFTMAX": {"float32": 1}}


def test_check_precision_of_int8_takes_layers_that_were_not_quantised() -> None:
    layers = [Layer("a", "CONVOLUTION", "int8"), Layer("b", "CONVOLUTION", "float32")]
    check_precision("int8", layers)
    assert not_as_requested("int8", layers) == ["b"]
    assert not_as_requested("int8", layers, ["b"]) == []
    with pytest.raises(ProofError, match=r"got 'b' \(float32\), expected at least one convolution"):
        check_precision("int8", layers[1:], ["b"])


def test_check_precision_knows_a_kept_node_in_a_fused_layer() -> None:
    origin = "[ONNX Layer: pad_1]\x1e[ONNX Layer: conv_1]"
    layers = [Layer("c", "CONVOLUTION", "float16"), Layer("fused", "CONVOLUTION", "float32", origin)]
    check_precision("fp16", layers, ["conv_1"])
    with pytest.raises(ProofError, match="'fused'"):
        check_precision("fp16", layers, ["conv"])
    with pytest.raises(ProofError, match="'fused'"):
        check_precision("fp16", layers[1:], ["conv_1"])


@pytest.mark.parametrize(
    ("version", "flags"), [("8.6.1", {"INT8"}), ("10.3.0", set())], ids=["8.6 by permission", "10 by types"]
)
def test_int8_is_read_from_the_engine(monkeypatch: pytest.MonkeyPatch, version: str, flags: set[str]) -> None:
    trt = install_builder(monkeypatch, version)
    built = build_engine(make_int8_graph(), BuildOptions())
    assert trt.config.flags == flags
    assert (built.precision, built.read_from) == ("int8", FROM_ENGINE)
    record = built.precision_record()
    assert record["layers"] == {"CONVOLUTION": {"int8": 1}, "MATRIX_MULTIPLY": {"float32": 1}}
    assert record["not_as_requested"] == ["fc"]


def test_switch_leaves_kept_layers_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    install_builder(monkeypatch, "8.6.1")
    built = build_engine(make_graph("float32"), BuildOptions("fp16", kept=("fc",)))
    assert {layer.name: layer.dtype for layer in built.layers if layer.computes} == {
        "conv1": "float16",
        "fc": "float32",
    }


@pytest.mark.parametrize(
    ("version", "typed"), [("8.6.1", False), ("10.3.0", True)], ids=["8.6 without typed networks", "10"]
)
def test_switch_binds_every_compute_layer(monkeypatch: pytest.MonkeyPatch, version: str, typed: bool) -> None:
    trt = install_builder(monkeypatch, version)
    built = build_engine(make_graph("float32"), BuildOptions("fp16"))
    assert trt.config.flags == {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
    assert trt.typed_networks == ([True, False] if typed else [False, False])
    assert built.read_from == FROM_ENGINE
    assert {layer.dtype for layer in built.layers if layer.computes} == {"float16"}
    assert built.targets == ("CURRENT",)


def test_switch_is_used_for_a_half_graph_without_typed_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = install_builder(monkeypatch, "8.6.1")
    assert build_engine(make_graph("float16"), BuildOptions()).precision == "fp16"
    assert "FP16" in trt.config.flags


@pytest.mark.parametrize("version", ["10.3.0", "11.4.0"])
def test_typed_half_graph_needs_no_switch(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    trt = install_builder(monkeypatch, version)
    assert build_engine(make_graph("float16"), BuildOptions("fp16")).precision == "fp16"
    assert trt.config.flags == set()


def test_engine_that_came_out_fp32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = install_builder(monkeypatch, "8.6.1")
    trt.ignores_fp16 = True
    with pytest.raises(ProofError, match=r"got 'conv1' \(float32\), 'fc' \(float32\), expected .* in fp16"):
        build_engine(make_graph("float32"), BuildOptions("fp16"))


def test_build_for_tensorrt_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install_builder(monkeypatch, "10.3.0", gpus=0)
    with pytest.raises(DeviceError, match="tensorrt builds only for the GPU at hand"):
        build_engine(make_graph("float32"), BuildOptions(package="tensorrt"))


def test_build_without_any_tensorrt_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    install_builder(monkeypatch, "10.3.0", gpus=0)
    monkeypatch.setitem(sys.modules, RTX, None)
    with pytest.raises(EngineMissingError, match=r"pip install 'edgewright\[tensorrt-rtx\]'"):
        build_engine(make_graph("float32"), BuildOptions())


@pytest.mark.gpu
@needs_rtx
def test_real_build_is_for_the_gpu_at_hand() -> None:
    assert build(small_cnn("float16"), precision="fp16").targets == ("CURRENT",)
