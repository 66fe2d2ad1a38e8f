"""`edgewright doctor` on artifacts: what fits a device, what does not, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdk.artifact import MANIFEST_VERSION, NOT_RUN, PROVED, Evidence, Manifest, write_artifact
from sdk.doctor import EngineState
from sdk.doctor.artifact_findings import examine_artifact
from sdk.machine import Machine, read_machine
from sdk.machine.files import Files
from tests.light_artifact import light_spec
from tests.sdk.doctor_states import NO_ONNX, ORIN, RTX, STATES, TRT, make_engine, texts
from tests.sdk.machine.recorded import lay_out, put


def recorded(tmp_path: Path, device: str) -> tuple[Machine, Files]:
    root = lay_out(device, tmp_path / "root")
    return read_machine(root), Files(root)


@pytest.mark.parametrize(
    ("device", "built", "told"),
    [
        ("orin_nx_jetpack6", ({"tensorrt": "10.3.0"}, {**ORIN, "l4t": "36.4.3"}), ({}, {})),
        (
            "orin_nx_jetpack6",
            ({"tensorrt": "8.6.2"}, ORIN),
            ({"tensorrt": "built with 8.6.2, and here is 10.3.0: engines do not move between versions"}, {}),
        ),
        (
            "orin_nx_jetpack6",
            ({"tensorrt": "10.3.0"}, {**ORIN, "l4t": "36.4.4"}),
            ({}, {"Jetson Linux": "built under Jetson Linux 36.4.4, and here is 36.4.3"}),
        ),
        (
            "agx_thor_jetpack7",
            ({"tensorrt": "10.3.0"}, ORIN),
            ({"GPU": "built on Orin (SM87), and here is NVIDIA Thor (SM110)"}, {}),
        ),
        (
            "pc_nvidia",
            ({"tensorrt_rtx": "1.7.1.116"}, {"built_for": ["SM75", "SM80"]}),
            ({"GPU": "built for SM75, SM80, and here is NVIDIA GeForce RTX 3090 (SM86)"}, {}),
        ),
        ("pc_nvidia", ({"tensorrt_rtx": "1.7.1.116"}, {"built_for": ["SM80", "SM86"]}), ({}, {})),
        (
            "pc_nvidia",
            ({"tensorrt": "10.3.0"}, {"device": "NVIDIA GeForce RTX 3070", "built_for": ["CURRENT"]}),
            (
                {},
                {
                    "GPU": "built on NVIDIA GeForce RTX 3070, and here is NVIDIA GeForce RTX 3090 (SM86): "
                    "slower than one built here, if it opens"
                },
            ),
        ),
        (
            "raspberry_pi_5",
            ({"tensorrt": "10.3.0"}, ORIN),
            ({"GPU": "it needs an NVIDIA GPU with its driver, and there is none"}, {}),
        ),
    ],
    ids=["fits", "version", "l4t", "chip", "generation", "generation fits", "model", "no GPU"],
)
def test_engine_file_is_held_against_the_device(
    tmp_path: Path,
    device: str,
    built: tuple[dict[str, str], dict[str, Any]],
    told: tuple[dict[str, str], dict[str, str]],
) -> None:
    machine, files = recorded(tmp_path, device)
    path = make_engine(tmp_path / "product.trt", built[0], **built[1])
    state = examine_artifact(path, machine, STATES, files, here=False)
    assert (texts(state.findings, "problem"), texts(state.findings, "note")) == told
    assert state.runs is (False if told[0] else None)
    assert all("edgewright build" in f.fix or ".onnx" in f.fix for f in state.findings if f.fix)


def test_engine_file_that_was_never_run_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdk.doctor.artifact_findings.cuda_binding", lambda: "12.6")
    machine, files = recorded(tmp_path, "pc_nvidia")
    path = make_engine(tmp_path / "product.trt", {"tensorrt_rtx": "1.7.1.116"}, built_for=["SM86"])
    evidence = Evidence(
        NOT_RUN, "2026-01-01T00:00:00Z", None, {}, 1e-3, None, (), {"tensorrt_rtx": "1.7.1.116"}
    )
    write_artifact(path, b"vtrt", Manifest(MANIFEST_VERSION, light_spec(), (), evidence, ""))
    state = examine_artifact(path, machine, STATES, files, here=True)
    assert state.runs is True
    assert [f.fix for f in state.findings if f.subject == "proof"] == ["edgewright verify product.trt"]


def test_missing_engine_and_little_memory_are_problems(tmp_path: Path, light_artifact: Path) -> None:
    machine, files = recorded(tmp_path, "cloud_vm")
    put(files.root, "proc/meminfo", "MemAvailable: 0 kB\n")
    state = examine_artifact(light_artifact, machine, STATES, files, here=True)
    found = {finding.subject: finding for finding in state.findings}
    assert found["engine"].text == "onnxruntime is not installed"
    assert found["engine"].fix == "Run: pip install 'edgewright[onnx]'"
    assert found["memory"].text.endswith("0 MB are free")
    assert state.runs is False


def test_engine_that_does_not_load_is_a_problem(tmp_path: Path, light_artifact: Path) -> None:
    machine, files = recorded(tmp_path, "cloud_vm")
    broken = replace(NO_ONNX, version="1.31.1", installed=True, loads=False, detail="its import ended by …")
    state = examine_artifact(light_artifact, machine, (TRT, RTX, broken), files, here=True)
    assert texts(state.findings, "problem") == {"engine": "onnxruntime: its import ended by …"}


def test_engine_outside_of_the_supported_range_is_a_note(tmp_path: Path, light_artifact: Path) -> None:
    machine, files = recorded(tmp_path, "cloud_vm")
    old = replace(NO_ONNX, version="1.2.0", installed=True)
    state = examine_artifact(light_artifact, machine, (TRT, RTX, old), files, here=True)
    assert state.runs is True
    assert "onnxruntime 1.2.0 is outside of the tested range" in texts(state.findings, "note")["engine"]


def test_network_without_builder_is_a_problem(tmp_path: Path) -> None:
    machine, files = recorded(tmp_path, "cloud_vm")
    torch = EngineState("torch", (".safetensors",), "2.14.1", True, None, "", "pip install torch")
    spec = light_spec()
    spec = replace(spec, network=replace(spec.network, name="unheard_of"))
    evidence = Evidence(PROVED, "2026-01-01T00:00:00Z", None, {}, 1e-3, None, (), {})
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "product.safetensors"
    write_artifact(path, safetensors.save({}), Manifest(MANIFEST_VERSION, spec, (), evidence, ""))
    state = examine_artifact(path, machine, (*STATES, torch), files, here=True)
    assert texts(state.findings, "problem") == {
        "network": "no builder for its network 'unheard_of' is installed"
    }
