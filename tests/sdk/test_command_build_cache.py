"""`edgewright build` and its cache: what is taken from there, what is not, what is built again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtimes import EngineError
from runtimes.tensorrt_options import BuildOptions
from sdk import machine
from sdk.artifact import PROVED, read_artifact
from sdk.command import main
from sdk.predictor import Predictor
from tests.runtimes.small_onnx import small_cnn
from tests.sdk.build_stand_in import make_model, stand_in_gpu


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test finds another's engine, and none writes to the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "small.onnx", b"any graph")


def built_report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["build", *map(str, arguments), "--overwrite", "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_second_build_comes_from_the_cache(
    monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builds: list[BuildOptions] = []
    stand_in_gpu(monkeypatch, builds)
    first = built_report(capsys, model)
    payload = read_artifact(model.with_suffix(".trt")).payload
    second = built_report(capsys, model)
    assert [first["from_cache"], second["from_cache"], len(builds)] == [False, True, 1]
    assert second["status"] == PROVED, "its golden samples were replayed again"
    assert second["worst_difference"] == first["worst_difference"]
    assert read_artifact(model.with_suffix(".trt")).payload == payload
    assert main(["build", str(model), "--overwrite"]) == 0
    assert "with tensorrt 10.3.0 for CURRENT, taken from the cache\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [["--precision", "fp16"], ["--max-batch", "2"], ["--workspace-mb", "64"], ["--sparse"], ["--no-cache"]],
    ids=lambda options: options[0],
)
def test_other_builds_do_not_come_from_the_cache(
    monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    builds: list[BuildOptions] = []
    stand_in_gpu(monkeypatch, builds)
    built_report(capsys, model)
    assert built_report(capsys, model, *options)["from_cache"] is False
    assert len(builds) == 2


@pytest.mark.parametrize("changed", ["version", "GPU", "L4T", "model"])
def test_engine_of_another_device_does_not_come_from_the_cache(
    monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    builds: list[BuildOptions] = []
    gpu = stand_in_gpu(monkeypatch, builds)
    built_report(capsys, model)
    if changed == "version":
        stand_in_gpu(monkeypatch, builds, "10.4.0")
    elif changed == "GPU":
        other = SimpleNamespace(name=b"Another GPU\0")
        monkeypatch.setattr(gpu.cudart, "cudaGetDeviceProperties", lambda device: other)
    elif changed == "L4T":
        jetson = SimpleNamespace(l4t="36.4.3")
        monkeypatch.setattr(machine, "read_machine", lambda: SimpleNamespace(jetson=jetson))
    else:
        make_model(model, b"another graph")
    assert built_report(capsys, model)["from_cache"] is False
    assert len(builds) == 2


def test_damaged_entry_is_built_again_with_a_note(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builds: list[BuildOptions] = []
    stand_in_gpu(monkeypatch, builds)
    folder = tmp_path / "engines"
    built_report(capsys, model, "--cache", folder)
    [entry] = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    again = built_report(capsys, model, "--cache", folder)
    assert (again["from_cache"], len(builds)) == (False, 2)
    assert "was damaged and is built again" in again["notes"][0]
    assert built_report(capsys, model, "--cache", folder)["from_cache"] is True


def test_stored_engine_that_is_refused_is_built_again_with_a_note(
    monkeypatch: pytest.MonkeyPatch, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builds: list[BuildOptions] = []
    stand_in_gpu(monkeypatch, builds)
    built_report(capsys, model)
    real, opened = Predictor.verify, []

    def refuse_once(predictor: Predictor) -> Any:
        opened.append(predictor)
        if len(opened) == 1:
            raise EngineError("TensorRT plan", got="a new driver", expected="the old one", fix="Build again.")
        return real(predictor)

    monkeypatch.setattr(Predictor, "verify", refuse_once)
    report = built_report(capsys, model)
    assert (report["from_cache"], report["status"], len(builds)) == (False, PROVED, 2)
    assert report["notes"] == ["The stored engine is refused here now (a new driver) and is built again."]


def test_engine_past_its_tolerance_is_not_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in_gpu(monkeypatch, [])
    model = make_model(tmp_path / "off.onnx", b"any", 0.01)
    assert main(["build", str(model), "--cache", str(tmp_path / "engines")]) == 1
    assert not (tmp_path / "engines").exists()


def test_clear_cache_removes_all_engines(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in_gpu(monkeypatch, [])
    folder = tmp_path / "engines"
    built_report(capsys, model, "--cache", folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert main(["build", "--clear-cache", "--cache", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(folder),
        "removed": 1,
        "size_bytes": size,
    }
    assert list(folder.iterdir()) == []
    assert main(["build"]) == 2
    assert "Model: got none, expected MODEL.onnx" in capsys.readouterr().err


def test_build_with_the_real_builder_comes_from_the_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from runtimes.cuda_memory import gpu_count

    if gpu_count():
        pytest.skip("there is a GPU: the golden samples of this test fit the stand-in alone")
    model = make_model(tmp_path / "small.onnx", small_cnn())
    first = built_report(capsys, model)
    payload = read_artifact(tmp_path / "small.trt").payload
    second = built_report(capsys, model)
    assert [first["from_cache"], second["from_cache"]] == [False, True]
    assert {**first, "from_cache": True} == second
    assert read_artifact(tmp_path / "small.trt").payload == payload
