"""The TensorRT adapter's own logic, against a stand-in; and a real engine where there is a GPU."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import numpy as np
import pytest

from runtimes import (
    DeviceError,
    Dim,
    EngineError,
    EngineMissingError,
    InputError,
    Program,
    TensorInfo,
    UsageError,
    open_runtime,
)
from runtimes.tensorrt_runtime import TensorRTRuntime
from tests.runtimes.tensorrt_stand_in import (
    NO_DEVICE,
    OUT_OF_MEMORY,
    TensorRTStandIn,
    install,
    make_plan,
)

IMAGE = TensorInfo("image", "uint8", (Dim(1, 4), 2, 2, 1))
SCORES = TensorInfo("scores", "float32", (Dim(1, 4), 3))
VERSIONS = {"8.6": ("8.6.1", False), "10": ("10.3.0", False), "11": ("11.4.0", False), "rtx": ("1.7.1", True)}


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> TensorRTStandIn:
    return install(monkeypatch)


def images(*levels: int) -> dict[str, Any]:
    return {"image": np.stack([np.full((2, 2, 1), level, np.uint8) for level in levels])}


def expected(*levels: int) -> Any:
    return np.asarray(levels, np.float32)[:, None] * np.asarray([1, 2, 3], np.float32)


def test_run_answers_for_every_batch_of_the_profile(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        assert (runtime.inputs, runtime.outputs) == ((IMAGE,), (SCORES,))
        for levels in ((7,), (1, 2, 3, 4), (5, 6), (9,)):
            outputs = runtime.run(images(*levels))
            assert list(outputs) == ["scores"]
            np.testing.assert_array_equal(outputs["scores"], expected(*levels))
            assert outputs["scores"].dtype == np.float32


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cuda_graph", [False, True], ids=["eager", "cuda graph"])
def test_run_works_with_the_interface_of(
    monkeypatch: pytest.MonkeyPatch, version: str, cuda_graph: bool
) -> None:
    number, rtx = VERSIONS[version]
    install(monkeypatch, number, rtx=rtx)
    plan = make_plan(number, tag=b"vtrt" if rtx else b"ptrt")
    with TensorRTRuntime(Program(plan), cuda_graph=cuda_graph) as runtime:
        for _ in range(3):
            np.testing.assert_array_equal(runtime.run(images(3, 4))["scores"], expected(3, 4))
        assert runtime.report()["engine"] == ("tensorrt_rtx" if rtx else "tensorrt")


def test_buffers_grow_only_for_a_larger_batch(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        allocations = []
        for levels in ((1,), (2,), (1, 2), (3,), (1, 2), (1, 2, 3, 4), (1, 2, 3, 4), (1,)):
            runtime.run(images(*levels))
            allocations.append(trt.cudart.calls["cudaMalloc"])
        assert allocations == [2, 2, 4, 4, 4, 6, 6, 6]
        assert trt.cudart.calls["cudaMallocHost"] == 6
        assert trt.cudart.leaks == {"device": 2, "host": 2, "stream": 1}


def test_outputs_belong_to_the_caller(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()))
    first = runtime.run(images(1, 2))["scores"]
    kept = first.copy()
    second = runtime.run(images(8, 9))["scores"]
    second[...] = -1
    np.testing.assert_array_equal(runtime.run(images(8, 9))["scores"], expected(8, 9))
    runtime.close()
    np.testing.assert_array_equal(first, kept)
    assert first.flags.owndata


def test_cuda_graph_is_recorded_once_per_shape_and_replayed(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan()), cuda_graph=True) as runtime:
        seen = []
        for levels in ((1,), (2,), (3,), (1, 2), (3, 4), (5,)):
            np.testing.assert_array_equal(runtime.run(images(*levels))["scores"], expected(*levels))
            calls = trt.cudart.calls
            seen.append(
                (calls["cudaStreamBeginCapture"], calls["cudaGraphLaunch"], calls["cudaGraphExecDestroy"])
            )
            assert trt.cudart.leaks["recording"] == 1
        assert seen == [(1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 2, 1), (2, 3, 1), (3, 3, 2)]
    assert trt.cudart.leaks == {}


def test_cuda_graph_is_left_to_rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = install(monkeypatch, "1.7.1", rtx=True)
    with TensorRTRuntime(Program(make_plan("1.7.1", tag=b"vtrt")), cuda_graph=True) as runtime:
        runtime.run(images(1))
        assert trt.config.cuda_graph_strategy is trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        assert trt.cudart.calls["cudaStreamBeginCapture"] == 0


def test_cuda_graph_that_cannot_be_recorded_is_an_error(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()), cuda_graph=True)
    trt.cudart.failing["cudaGraphInstantiateWithFlags"] = OUT_OF_MEMORY
    with pytest.raises(EngineError, match="CUDA call cudaGraphInstantiateWithFlags: got out of memory"):
        runtime.run(images(1))
    assert "graph" not in trt.cudart.leaks
    runtime.close()
    assert trt.cudart.leaks == {}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 2, 2, 1), np.uint8), r"got uint8 \(5, 2, 2, 1\), expected uint8 \(1\.\.4, 2, 2, 1\)"),
        (np.zeros((0, 2, 2, 1), np.uint8), r"got uint8 \(0, 2, 2, 1\)"),
        (np.zeros((1, 3, 2, 1), np.uint8), r"got uint8 \(1, 3, 2, 1\)"),
        (np.zeros((1, 2, 2, 1), np.float32), r"Use \.astype\(np\.uint8\)"),
    ],
    ids=["batch above the profile", "no item", "other size", "other dtype"],
)
def test_run_refuses_what_the_profile_does_not_allow(trt: TensorRTStandIn, array: Any, message: str) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        with pytest.raises(InputError, match=message):
            runtime.run({"image": array})
        np.testing.assert_array_equal(runtime.run(images(1))["scores"], expected(1))


def test_run_recovers_after_a_failed_call(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        trt.cudart.failing["cudaMalloc"] = OUT_OF_MEMORY
        with pytest.raises(EngineError, match="CUDA call cudaMalloc: got out of memory"):
            runtime.run(images(1))
        trt.cudart.failing.clear()
        trt.refuse_runs = True
        with pytest.raises(EngineError, match=r"a run refused .*the kernel image is not for this device"):
            runtime.run(images(1))
        trt.refuse_runs = False
        np.testing.assert_array_equal(runtime.run(images(1, 2))["scores"], expected(1, 2))
    assert trt.cudart.leaks == {}


def test_run_tells_of_a_refused_shape(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        trt.refuse_shapes = True
        with pytest.raises(EngineError, match=r"'image' of shape \(1, 2, 2, 1\) refused"):
            runtime.run(images(1))


def test_close_frees_everything_and_may_be_called_twice(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()), cuda_graph=True)
    runtime.run(images(1, 2, 3))
    runtime.close()
    runtime.close()
    assert trt.cudart.leaks == {}
    with pytest.raises(EngineError, match=r"a call after close\(\)"):
        runtime.run(images(1))


def test_two_instances_do_not_disturb_each_other(trt: TensorRTStandIn) -> None:
    first = TensorRTRuntime(Program(make_plan()))
    second = TensorRTRuntime(Program(make_plan(matrix=[[2.5, 5.0, 7.5]] * 4)))
    np.testing.assert_array_equal(second.run(images(1))["scores"], expected(10))
    first.close()
    np.testing.assert_array_equal(second.run(images(2))["scores"], expected(20))
    second.close()
    assert trt.cudart.leaks == {}


def test_threads_take_turns_and_each_selects_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = install(monkeypatch, gpus=3)
    wrong: list[int] = []
    with TensorRTRuntime(Program(make_plan()), device=2) as runtime:

        def work(level: int) -> None:
            for _ in range(20):
                if not np.array_equal(runtime.run(images(level))["scores"], expected(level)):
                    wrong.append(level)

        threads = [threading.Thread(target=work, args=(level,)) for level in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runtime.report()["device"] == "Stand-in GPU 2"
    assert not wrong
    assert set(trt.cudart.selected) == {2}
    assert len(trt.cudart.selected) >= 80


def test_report_tells_engine_device_and_precisions(trt: TensorRTStandIn) -> None:
    half = {
        "Name": "conv1",
        "LayerType": "CaskConvolution",
        "Weights": {"Type": "Half", "Count": 9},
        "Outputs": [{"Format/Datatype": "Row major linear FP32"}],
    }
    with TensorRTRuntime(Program(make_plan(layers=[half, "a name alone"]))) as runtime:
        assert runtime.report() == {
            "engine": "tensorrt",
            "version": "8.6.1",
            "device": "Stand-in GPU 0",
            "device_index": 0,
            "cuda_graph": False,
            "inputs": {"image": "uint8"},
            "outputs": {"scores": "float32"},
            "layer_precisions": {"CaskConvolution": {"float16": 1}},
        }
    with TensorRTRuntime(Program(make_plan())) as runtime:
        assert runtime.report()["layer_precisions"] == "not in this engine"


def test_open_reads_fixed_shapes_and_half_outputs(trt: TensorRTStandIn) -> None:
    plan = make_plan(inputs=[["image", "FLOAT", [2, 4]]], outputs=[["scores", "HALF", [2, 3]]], profile={})
    with TensorRTRuntime(Program(plan)) as runtime:
        assert runtime.inputs == (TensorInfo("image", "float32", (2, 4)),)
        outputs = runtime.run({"image": np.ones((2, 4), np.float32)})
        assert outputs["scores"].dtype == np.float16
        np.testing.assert_array_equal(outputs["scores"], expected(1, 1))


def test_open_keeps_the_declared_order(trt: TensorRTStandIn) -> None:
    extra = TensorInfo("extra", "float32", (Dim(1, 4), 3))
    outputs = [["extra", "FLOAT", [-1, 3]], ["scores", "FLOAT", [-1, 3]]]
    program = Program(make_plan(outputs=outputs), inputs=(IMAGE,), outputs=(SCORES, extra))
    with TensorRTRuntime(program) as runtime:
        assert list(runtime.run(images(1))) == ["scores", "extra"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": [["other", "FLOAT", [-1, 3]]]}, "TensorRT outputs: got 'other' .*expected 'scores'"),
        ({"outputs": [["scores", "HALF", [-1, 3]]]}, "TensorRT outputs: got 'scores' float16"),
        ({"outputs": [["scores", "BF16", [-1, 3]]]}, "'scores': got element type bfloat16"),
        ({"outputs": [["scores", "FLOAT", [-1, -1]]]}, "'scores': got a shape that depends on the data"),
        ({"format": "CHW32"}, "'image': got memory layout CHW32"),
        ({"location": "HOST"}, "'image': got a shape tensor"),
    ],
    ids=["other name", "other dtype", "bfloat16", "data-dependent", "vectorised layout", "shape tensor"],
)
def test_open_refuses_an_engine_it_cannot_feed(
    trt: TensorRTStandIn, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        TensorRTRuntime(Program(make_plan(**changes), inputs=(IMAGE,), outputs=(SCORES,)))
    assert trt.cudart.leaks == {}


def test_open_says_that_engines_do_not_move(trt: TensorRTStandIn) -> None:
    with pytest.raises(EngineError) as caught:
        TensorRTRuntime(Program(make_plan("10.3.0")))
    assert str(caught.value) == (
        "TensorRT plan: got tensorrt 8.6.1 refusing it on Stand-in GPU 0 (the plan is of another version), "
        "expected a plan built on this device model with this version: engines do not move between them. "
        "Run `edgewright build MODEL.onnx` on this device."
    )
    assert trt.cudart.leaks == {}


def test_open_without_memory_for_a_context_frees_everything(trt: TensorRTStandIn) -> None:
    trt.out_of_memory = True
    with pytest.raises(EngineError, match=r"no execution context .*OutOfMemory"):
        TensorRTRuntime(Program(make_plan()))
    assert trt.cudart.leaks == {}


@pytest.mark.parametrize("data", [b"", b"{}", b"hello, this is no plan"], ids=["empty", "short", "text"])
def test_open_refuses_what_is_no_plan_before_any_native_code(data: bytes) -> None:
    with pytest.raises(EngineError, match="expected a serialised TensorRT engine"):
        TensorRTRuntime(Program(data))


def test_open_without_gpu_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = install(monkeypatch)
    trt.cudart.failing["cudaGetDeviceCount"] = NO_DEVICE
    with pytest.raises(
        DeviceError, match="GPU: got no CUDA-capable device is detected, expected an NVIDIA GPU"
    ) as caught:
        TensorRTRuntime(Program(make_plan()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "kind", "message"),
    [
        (1, DeviceError, "GPU 1: got 1 on this machine, expected an index below 1"),
        (-1, UsageError, "expected a GPU index from 0"),
        ("0", UsageError, "expected a GPU index from 0"),
    ],
    ids=["not there", "negative", "text"],
)
def test_open_refuses_device(trt: TensorRTStandIn, device: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        TensorRTRuntime(Program(make_plan()), device=device)


@pytest.mark.parametrize(
    ("tag", "package", "message"),
    [
        (b"vtrt", "tensorrt_rtx", r"pip install 'edgewright\[tensorrt-rtx\]'"),
        (b"ptrt", "tensorrt", "JetPack"),
    ],
    ids=["rtx", "tensorrt"],
)
def test_open_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tag: bytes, package: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineMissingError, match=f"Package {package}: got no such package.*{message}"):
        TensorRTRuntime(Program(make_plan(tag=tag)))


def test_open_without_cuda_binding_names_the_extra(
    trt: TensorRTStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineMissingError, match="Package cuda-bindings"):
        TensorRTRuntime(Program(make_plan()))


def test_package_option_overrules_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "1.0.0", rtx=True)
    with TensorRTRuntime(Program(make_plan("1.0.0")), package="tensorrt_rtx") as runtime:
        assert runtime.report()["engine"] == "tensorrt_rtx"
    with pytest.raises(UsageError, match="Option 'package': got 'trt'"):
        TensorRTRuntime(Program(make_plan()), package="trt")


def test_registry_opens_it(trt: TensorRTStandIn) -> None:
    with open_runtime(".engine", Program(make_plan()), cuda_graph=True) as runtime:
        assert runtime.name == "tensorrt"


def test_engine_is_dropped_on_close(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()))
    engine = runtime._engine
    runtime.close()
    gc.collect()
    assert sys.getrefcount(engine) == 2  # this variable and the argument of getrefcount


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graph", [False, True], ids=["eager", "cuda graph"])
def test_real_engine_answers_as_the_graph_does(cuda_graph: bool) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    from runtimes.tensorrt_build_process import build_in_subprocess
    from runtimes.tensorrt_options import BuildOptions
    from tests.runtimes.small_onnx import small_cnn, small_cnn_answers

    options = BuildOptions("fp32", max_batch=4, package="tensorrt_rtx")
    built = build_in_subprocess(small_cnn("float32"), options)
    image = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
    with TensorRTRuntime(Program(built.plan), cuda_graph=cuda_graph) as runtime:
        for batch in (1, 4, 4, 2, 2):
            answers = runtime.run({"image": image[:batch]})["scores"]
            # fp32 without TF32: only the order of summation differs.
            np.testing.assert_allclose(answers, small_cnn_answers(image[:batch]), rtol=1e-4, atol=1e-4)
