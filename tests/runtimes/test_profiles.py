"""Layer times: what each engine's profiler says, as one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes import EngineError, Program, open_runtime
from runtimes.executorch_profile import Event, laps_of
from runtimes.layer_times import OUTSIDE, Lap, layer_times
from runtimes.onnx_profile import read_trace
from runtimes.tensorrt_runtime import TensorRTRuntime
from tests.runtimes.conformance_subjects import onnx_program
from tests.runtimes.tensorrt_stand_in import install, make_plan

# What one run of a delegated network gave, shortened; XNNPACK counts whole microseconds.
ONE_RUN = (
    Event("Method::execute", 0, False, 1.0),
    Event("OPERATOR_CALL", 1, False, 0.11),
    Event("native_call__to_dim_order_copy.out", 1, False, 0.1),
    Event("DELEGATE_CALL", 3, False, 0.6),
    Event("Convolution (NHWC, F32) IGEMM #1", 3, True, 0.3),
    Event("Convolution (NHWC, F32) IGEMM #2", 3, True, 0.2),
    Event("DELEGATE_CALL", 5, False, 0.2),
)


def node(name: str, kind: str, ts: int, dur: int) -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "args": {"op_name": kind, "provider": "CPUExecutionProvider"},
    }


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "args": {}}


def test_layer_times_are_means_in_order_and_shares_add_up() -> None:
    laps = [Lap("b", "Conv", "CPU", 3.0), Lap("a", "Relu", "CPU", 1.0)] * 2
    first, second = layer_times(laps, runs=2)
    assert (first.name, first.ms, first.share) == ("b", 3.0, 0.75)
    assert (second.name, second.ms, second.share) == ("a", 1.0, 0.25)


def test_layer_times_of_nothing_are_nothing() -> None:
    assert layer_times([], 3) == ()
    assert layer_times([Lap("a", "x", "CPU", 0.0)], 1)[0].share == 0.0


def test_executorch_laps_account_for_the_whole_run() -> None:
    laps = {(lap.name, lap.kind, lap.device): lap.ms for lap in laps_of(ONE_RUN, "Xnnpack")}
    assert laps == {
        ("1: _to_dim_order_copy.out", "_to_dim_order_copy", "CPU"): 0.1,
        ("3: call of the delegate", OUTSIDE, "Xnnpack"): pytest.approx(0.1),
        ("3: Convolution (NHWC, F32) IGEMM #1", "Convolution", "Xnnpack"): 0.3,
        ("3: Convolution (NHWC, F32) IGEMM #2", "Convolution", "Xnnpack"): 0.2,
        ("5: call of the delegate", "delegate", "Xnnpack"): 0.2,
        ("method", OUTSIDE, "CPU"): pytest.approx(0.1),
    }
    assert sum(laps.values()) == pytest.approx(1.0)


def test_onnx_trace_leaves_out_the_run_that_warms_up() -> None:
    trace = [
        node("conv", "Conv", 10, 900),
        run(5, 1000),
        node("soft", "Softmax", 2200, 4),
        node("conv", "Conv", 2100, 50),
        run(2000, 300),
        {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 3},
    ]
    assert read_trace(trace) == [Lap("conv", "Conv", "CPU", 0.05), Lap("soft", "Softmax", "CPU", 0.004)]


def test_onnx_profile_names_nodes_and_leaves_no_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program = onnx_program()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with open_runtime(".onnx", program) as runtime:
        layers = runtime.profile({"x": np.zeros((2, 4, 4), np.float32)}, 4)
    assert [(layer.kind, layer.device) for layer in layers] == [("Reshape", "CPU"), ("Gemm", "CPU")]
    assert list(tmp_path.iterdir()) == []


def test_onnx_profile_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    program = onnx_program()
    monkeypatch.setattr("runtimes.onnx_profile.json.loads", lambda text: [{}])
    with (
        open_runtime(".onnx", program) as runtime,
        pytest.raises(EngineError, match="onnxruntime profile: got .*expected the times of its layers"),
    ):
        runtime.profile({"x": np.zeros((2, 4, 4), np.float32)}, 1)


def test_torch_profile_takes_its_hooks_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from runtimes.torch_profile import profile_modules

    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    x = torch.zeros(2, 4)
    with torch.inference_mode():
        laps = profile_modules(network, torch.device("cpu"), lambda: network(x), 2)
    assert [(lap.name, lap.kind) for lap in laps[:2]] == [("0", "Linear"), ("1", "ReLU")]
    assert len(laps) == 5
    assert laps[-1].kind == OUTSIDE
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("cuda_graph", [False, True], ids=["eager", "cuda graph"])
def test_tensorrt_profile_has_a_context_of_its_own(monkeypatch: pytest.MonkeyPatch, cuda_graph: bool) -> None:
    trt = install(monkeypatch, "10.3.0")
    plan = make_plan("10.3.0", layers=[{"Name": "conv", "LayerType": "CaskConvolution"}, "soft"])
    image = {"image": np.full((2, 2, 2, 1), 3, np.uint8)}
    with TensorRTRuntime(Program(plan), cuda_graph=cuda_graph) as runtime:
        runtime.run(image)
        before = trt.cudart.leaks
        layers = runtime.profile(image, 3)
        assert trt.cudart.leaks.keys() == before.keys()
        assert runtime._context.profiler is None
        runtime.run(image)  # records and replays as before
    assert [(layer.name, layer.kind, layer.ms) for layer in layers] == [
        ("conv", "CaskConvolution", 0.25),
        ("soft", "layer", 0.5),
    ]
    assert not trt.cudart.leaks


def test_tensorrt_profile_of_an_engine_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "10.3.0")
    with (
        TensorRTRuntime(Program(make_plan("10.3.0"))) as runtime,
        pytest.raises(EngineError, match=r"got no layer reported.*edgewright build"),
    ):
        runtime.profile({"image": np.zeros((1, 2, 2, 1), np.uint8)}, 1)


@pytest.mark.gpu
def test_real_engine_tells_its_layers() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    from runtimes.tensorrt_build_process import build_in_subprocess
    from runtimes.tensorrt_options import BuildOptions
    from tests.runtimes.small_onnx import small_cnn

    options = BuildOptions("fp32", max_batch=4, package="tensorrt_rtx")
    built = build_in_subprocess(small_cnn("float32"), options)
    with TensorRTRuntime(Program(built.plan)) as runtime:
        layers = runtime.profile({"image": np.zeros((2, 8, 8, 1), np.uint8)}, 5)
    assert sum(layer.share for layer in layers) == pytest.approx(1)
