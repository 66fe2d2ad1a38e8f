"""`edgewright build`: for real with TensorRT-RTX, and the replay on a GPU against a stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes import Dim
from sdk.artifact import (
    NOT_RUN,
    PROVED,
    read_artifact,
)
from sdk.command import main
from sdk.commands.build import FP16_TOLERANCE
from tests.runtimes.small_onnx import small_cnn, small_int8_cnn
from tests.runtimes.tensorrt_stand_in import NO_DEVICE, TensorRTStandIn
from tests.sdk.build_stand_in import PARENT, TOLERANCE, make_model, stand_in_gpu


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test finds another's engine, and none writes to the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("onnx", reason="onnx is not installed")
    return make_model(tmp_path / "small.onnx", small_cnn())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> TensorRTStandIn:
    """A stand-in GPU on which the builder hands out a stand-in plan in the precision asked for."""
    return stand_in_gpu(monkeypatch, [])


def no_gpu(monkeypatch: pytest.MonkeyPatch, stand_in: TensorRTStandIn) -> None:
    monkeypatch.setitem(stand_in.cudart.failing, "cudaGetDeviceCount", NO_DEVICE)


def one_error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("edgewright: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_build_replays_the_golden_samples(
    gpu: TensorRTStandIn, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(model), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == PROVED
    assert report["worst_difference"] < TOLERANCE
    built, parent = read_artifact(model.with_suffix(".trt")), read_artifact(model)
    assert built.manifest.samples == parent.manifest.samples
    assert built.spec == parent.spec.with_max_batch(4)
    assert built.spec.batch == Dim(1, 4)
    evidence = built.manifest.evidence
    assert (evidence.status, evidence.parent_sha256, evidence.tolerance) == (PROVED, PARENT, TOLERANCE)
    assert evidence.tools == {"tensorrt": "10.3.0"}
    assert evidence.precision["layers"] == {
        "CONVOLUTION": {"float32": 1},
        "MATRIX_MULTIPLY": {"float32": 1},
    }
    assert evidence.facts["sparse_kernels_allowed"] is False
    assert evidence.facts["onnx_sha256"] == parent.manifest.payload_sha256
    assert evidence.facts["golden_samples"] == 2
    assert evidence.facts["device"] == "Stand-in GPU 0"
    assert gpu.cudart.leaks == {}


@pytest.mark.parametrize("kept", [(), ("fc",)], ids=["unforeseen", "kept"])
def test_build_tells_which_layers_are_not_int8(
    gpu: TensorRTStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: tuple[str, ...]
) -> None:
    model = make_model(tmp_path / "small_int8.onnx", b"any", precision={"kept_nodes": list(kept)})
    assert main(["build", str(model), "--precision", "int8", "--sparse"]) == 0
    shown = capsys.readouterr().out
    assert ("  kept       in higher precision: fc\n" in shown) == bool(kept)
    assert ("  not as asked for: fc\n" in shown) == (not kept)
    evidence = read_artifact(tmp_path / "small_int8.trt").manifest.evidence
    assert evidence.precision["kept_nodes"] == list(kept)
    assert evidence.precision["not_as_requested"] == ([] if kept else ["fc"])
    assert evidence.facts["sparse_kernels_allowed"] is True


@pytest.mark.parametrize(
    "case",
    [("fp32", 0.01, 1), ("fp16", 0.01, 0), ("fp16", 2 * FP16_TOLERANCE, 1)],
    ids=["fp32 off by 0.01", "fp16 off by 0.01", "fp16 off by more"],
)
def test_build_refuses_answers_past_the_tolerance(
    gpu: TensorRTStandIn,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, float, int],
) -> None:
    precision, offset, code = case
    model = make_model(tmp_path / "off.onnx", b"any", offset)
    assert main(["build", str(model), "--precision", precision]) == code
    assert (tmp_path / "off.trt").exists() == (code == 0)
    if code:
        assert "Built engine: got answers" in one_error_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix not in (".onnx", ".trt")) == []


def test_build_without_gpu_says_not_run(
    gpu: TensorRTStandIn, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_gpu(monkeypatch, gpu)
    out = model.with_name("other.engine")
    assert main(["build", str(model), "--out", str(out)]) == 0
    assert f"other.engine: {out.stat().st_size / 1e6:.2f} MB, {NOT_RUN}\n" in capsys.readouterr().out
    assert read_artifact(out).manifest.evidence.status == NOT_RUN
    assert main(["build", str(model), "--out", str(out)]) == 2
    assert "'other.engine': got a file that is there already" in capsys.readouterr().err
    assert main(["build", str(model), "--out", str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    "case",
    [
        (["small.trt"], "Model: got small.trt, expected an .onnx artifact"),
        (["absent.onnx"], "'absent.onnx': got No such file"),
        (["foreign.onnx"], "without a complete Edgewright contract"),
        (
            ["small.onnx", "--out", "engine.bin"],
            "Option --out: got engine.bin, expected a name ending in .trt",
        ),
        (["small.onnx", "--max-batch", "0"], "'max_batch': got 0, expected a whole number from 1"),
        (["small.onnx", "--workspace-mb", "-1"], "'workspace_mb': got -1"),
    ],
    ids=["other suffix", "absent", "foreign", "out", "max-batch", "workspace"],
)
def test_build_refuses_in_one_line(
    gpu: TensorRTStandIn,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: tuple[list[str], str],
) -> None:
    arguments, message = case
    monkeypatch.chdir(model.parent)
    Path("foreign.onnx").write_bytes(small_cnn())
    assert main(["build", *arguments]) == 2
    assert message in one_error_line(capsys)
    assert not list(model.parent.glob("*.trt"))


@pytest.mark.parametrize(
    ("dtype", "precision", "shown"),
    [
        ("float32", None, "fp32: CONVOLUTION 1 × float32; MATRIX_MULTIPLY 1 × float32"),
        ("float16", "fp16", "fp16: CONVOLUTION 1 × float16; MATRIX_MULTIPLY 1 × float16"),
    ],
    ids=["fp32", "fp16"],
)
def test_build_with_the_real_builder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str, precision: str | None, shown: str
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from runtimes.cuda_memory import gpu_count

    if gpu_count():
        pytest.skip("there is a GPU: the golden samples of this test fit the stand-in alone")
    model = make_model(tmp_path / "small.onnx", small_cnn(dtype))
    options = ["--precision", precision] if precision else []
    assert main(["build", str(model), "--max-batch", "2", *options]) == 0
    text = capsys.readouterr().out
    assert shown in text
    assert "read from the parsed network" in text
    artifact = read_artifact(tmp_path / "small.trt")
    assert artifact.payload[:4] == b"vtrt"
    assert artifact.spec.batch == Dim(1, 2)
    assert artifact.manifest.evidence.status == NOT_RUN
    # Nothing but the engine lacks here: the same file on a machine with a GPU opens.
    assert main(["verify", str(tmp_path / "small.trt")]) == 2
    assert "expected an NVIDIA GPU with its driver" in one_error_line(capsys)


def test_build_of_an_fp32_graph_as_fp16_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    assert main(["build", str(model), "--precision", "fp16"]) == 2
    assert "`edgewright export CHECKPOINT --to onnx --precision fp16`" in one_error_line(capsys)
    assert not model.with_suffix(".trt").exists()


def test_build_of_a_quantised_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from runtimes.cuda_memory import gpu_count

    if gpu_count():
        pytest.skip("there is a GPU: the golden samples of this test fit the stand-in alone")
    model = make_model(tmp_path / "small.onnx", small_int8_cnn())
    assert main(["build", str(model)]) == 0
    assert "int8: CONVOLUTION 1 × int8; MATRIX_MULTIPLY 1 × int8" in capsys.readouterr().out
    for_cpu = make_model(tmp_path / "cpu.onnx", small_int8_cnn(unsigned=True, bias_int32=True))
    assert main(["build", str(for_cpu)]) == 2
    assert "`edgewright export CHECKPOINT --to trt-onnx --precision int8`" in one_error_line(capsys)
    assert not (tmp_path / "cpu.trt").exists()


def test_build_imports_no_training_package(model: Path, root: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    program = (
        "import sys\n"
        "from sdk.command import main\n"
        f"assert main(['build', {str(model)!r}, '--json']) in (0, 1)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
