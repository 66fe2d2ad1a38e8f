"""`edgewright doctor`: on this machine, on recorded devices, and on artifacts made for others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.command import main
from sdk.doctor import Diagnosis, EngineState, Finding, engines, examine, machine_findings
from sdk.doctor.packages import release, supported_range, within
from sdk.machine import read_machine
from sdk.machine.files import Files
from tests.sdk.doctor_states import ORIN, RTX, TRT, make_engine, texts
from tests.sdk.machine.recorded import DEVICES, lay_out, put


def by_subject(diagnosis: Diagnosis) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnosis.findings}


def test_this_machine_can_run_the_artifact(light_artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert main(["doctor", str(light_artifact)]) == 0
    shown = capsys.readouterr().out
    assert f"{light_artifact}: can run\n" in shown
    assert "engine     onnxruntime " in shown
    assert f"Python     {sys.version_info.major}.{sys.version_info.minor}" in shown


def test_without_artifacts_the_file_endings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {
        "version", "machine", "software", "python", "engines", "findings", "artifacts", "suffixes", "holds",
    }  # fmt: skip
    assert report["version"] == 1
    assert set(report["suffixes"]) == {".onnx", ".pte", ".safetensors", ".trt", ".engine"}
    assert set(report["engines"][0]) == {
        "name", "suffixes", "version", "installed", "loads", "detail", "fix",
    }  # fmt: skip
    assert {finding["severity"] for finding in report["findings"]} <= {"ok", "note", "problem"}
    assert all(finding["fix"] for finding in report["findings"] if finding["severity"] != "ok")
    assert main(["doctor"]) == 0
    assert "\nartifacts  can" in capsys.readouterr().out


def test_no_engine_is_imported(root: Path, light_artifact: Path) -> None:
    program = (
        "import sys\nfrom sdk.command import main\n"
        f"main(['doctor', {str(light_artifact)!r}])\n"
        "heavy = {'torch', 'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'executorch', 'cuda'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_damaged_artifact_cannot_run(
    light_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(light_artifact.read_bytes()[:-40])
    assert main(["doctor", str(broken), str(tmp_path / "absent.onnx")]) == 1
    shown = capsys.readouterr().out
    assert f"{broken}: cannot run\n  problem    file: Artifact 'broken.onnx': got " in shown
    assert "absent.onnx: cannot run\n" in shown
    assert "fix: Check the path." in shown


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_devices_are_shown_like_this_one(
    device: str, tmp_path: Path, light_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay_out(device, tmp_path)
    assert main(["doctor", str(light_artifact), "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"machine    {read_machine(root).name}, ")
    assert f"{light_artifact}: nothing speaks against it\n" in shown
    assert "engine     onnxruntime: opens .onnx (not known from recorded files)\n" in shown


def test_recorded_jetpack_5_is_out_of_reach_of_tensorrt(tmp_path: Path) -> None:
    diagnosis = examine(root=lay_out("agx_orin_jetpack5", tmp_path))
    found = by_subject(diagnosis)
    assert found["Python"].severity == "problem"
    assert found["Python"].text.startswith("the system's is 3.8")
    assert found["TensorRT"].severity == "problem"
    assert found["TensorRT"].text == "the system's is 8.5.2; 8.6 to 11 are supported"
    assert found["power mode"].severity == "ok"
    assert found["JetPack"].text == "5.1.1 (Jetson Linux 35.3.1)"
    assert found["energy"].text.startswith("readable: power rails ")
    assert diagnosis.findings[0].severity == "problem"
    assert diagnosis.suffixes == {
        ".onnx": None, ".pte": None, ".safetensors": None, ".trt": False, ".engine": False,
    }  # fmt: skip
    path = make_engine(tmp_path / "product.trt", {"tensorrt": "8.5.2"}, **ORIN)
    [state] = examine([path], tmp_path).artifacts
    assert texts(state.findings, "problem") == {
        "engine": "tensorrt 8.5.2 is older than 8.6, the oldest supported"
    }


def test_recorded_jetpack_6_is_told_its_faster_mode(tmp_path: Path) -> None:
    diagnosis = examine(root=lay_out("orin_nx_jetpack6", tmp_path))
    found = by_subject(diagnosis)
    assert found["power mode"] == Finding(
        "power mode",
        "note",
        "15W, which is not the fastest; right where power or heat is limited",
        "sudo nvpmodel -m 0",
    )
    assert found["clock"].fix == "sudo jetson_clocks, before benchmarks"
    assert diagnosis.suffixes == {
        ".onnx": None, ".pte": None, ".safetensors": None, ".trt": True, ".engine": True,
    }  # fmt: skip
    assert not [finding for finding in diagnosis.findings if finding.severity == "problem"]


def test_recorded_raspberry_pi_is_throttled(tmp_path: Path) -> None:
    diagnosis = examine(root=lay_out("raspberry_pi_5", tmp_path))
    clock = by_subject(diagnosis)["clock"]
    assert (clock.severity, clock.text) == (
        "problem",
        "throttled: Raspberry Pi firmware: under-voltage, throttled",
    )
    assert diagnosis.suffixes[".trt"] is False


@pytest.mark.parametrize(
    ("changes", "subject", "severity", "words"),
    [
        ({"var/lib/nvpmodel/status": "pmode:0000"}, "power mode", "ok", "MAXN"),
        ({"etc/nv_tegra_release": "# R77 (release), REVISION: 1.0,"}, "JetPack", "note", "77.1.0 is in"),
        ({".dockerenv": ""}, "container", "note", "NVIDIA's runtime"),
        (
            {"proc/meminfo": "MemTotal: 4000000 kB\nSwapTotal: 0 kB"},
            "memory",
            "note",
            "3.8 GiB and no swap",
        ),
        (
            {"sys/class/thermal/cooling_device3/type": "cpu-throttle-alert",
             "sys/class/thermal/cooling_device3/cur_state": "1"},
            "clock", "problem", "thermal alarm cpu-throttle-alert",
        ),
    ],
    ids=["fastest mode", "new release", "container", "little memory", "alarm"],
)  # fmt: skip
def test_findings_about_a_jetson(
    tmp_path: Path, changes: dict[str, str], subject: str, severity: str, words: str
) -> None:
    root = lay_out("orin_nx_jetpack6", tmp_path)
    for name, text in changes.items():
        put(root, name, text)
    found = [f for f in examine(root=root).findings if f.subject == subject and f.severity == severity]
    assert len(found) == 1
    assert words in found[0].text


@pytest.mark.parametrize(("driver", "noted"), [("acpi-cpufreq", True), ("intel_pstate", False)])
def test_governor_powersave_counts_where_it_pins_the_clock(tmp_path: Path, driver: str, noted: bool) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    put(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", driver)
    assert ("clock" in by_subject(examine(root=root))) == noted


def test_energy_that_only_root_may_read_is_noted(tmp_path: Path) -> None:
    root = lay_out("pc_no_gpu", tmp_path)
    assert by_subject(examine(root=root))["energy"].severity == "ok"
    for path in (root / "sys/class/powercap").rglob("energy_uj"):
        path.unlink()
    assert by_subject(examine(root=root))["energy"].fix.startswith("sudo chmod a+r /sys/class/powercap/")


def test_gpu_without_driver_is_noted(tmp_path: Path) -> None:
    root = lay_out("pc_nvidia", tmp_path)
    (root / "proc/driver/nvidia/gpus/0000:01:00.0/information").unlink()
    put(root, "sys/bus/pci/devices/0000:01:00.0/uevent", "PCI_CLASS=30000\n")
    diagnosis = examine(root=root)
    assert by_subject(diagnosis)["GPU"].text == "NVIDIA 10de:2204 has no driver"
    assert diagnosis.suffixes[".trt"] is False


def here_findings(
    monkeypatch: pytest.MonkeyPatch, root: Path, states: tuple[EngineState, ...], binding: str | None
) -> dict[str, Finding]:
    """Findings about a recorded machine, as if this process ran on it."""
    monkeypatch.setattr(machine_findings, "cuda_binding", lambda: binding)
    executorch = EngineState("executorch", (".pte",), None, False, None, "", "")
    files, machine = Files(root), read_machine(root)
    software = examine(root=root).software
    found = machine_findings.machine_findings(files, machine, software, (*states, executorch), here=True)
    return {finding.subject: finding for finding in found}


def test_environment_that_does_not_see_the_systems_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out("orin_nx_jetpack6", tmp_path)
    missing = replace(TRT, installed=False, version=None)
    rtx = replace(RTX, installed=False)
    found = here_findings(monkeypatch, root, (missing, rtx), "12.6")
    assert found["TensorRT"].text == "the system has 10.3.0.30, but this Python does not see it"
    assert found["TensorRT"].fix.endswith("python3.10 -m venv --system-site-packages .venv")
    found = here_findings(monkeypatch, root, (TRT, rtx), None)
    assert found["CUDA binding"].fix == "pip install 'cuda-bindings==12.*'"


def test_gpu_without_tensorrt_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay_out("pc_nvidia", tmp_path)
    missing = (replace(TRT, installed=False), replace(RTX, installed=False))
    found = here_findings(monkeypatch, root, missing, "13.0")
    assert (found["TensorRT"].text, found["TensorRT"].fix) == (
        "there is a GPU, but no TensorRT",
        "Run: pip install rtx",
    )


def test_numpy_outside_of_the_range_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_findings, "installed", lambda name: "1.26.4")
    found = here_findings(monkeypatch, lay_out("cloud_vm", tmp_path), (TRT, RTX), "12.6")
    assert found["numpy"].severity == "problem"
    assert found["numpy"].fix.startswith("pip install 'numpy")


@pytest.mark.parametrize(
    ("result", "loads", "words"),
    [
        (SimpleNamespace(returncode=0, stderr=""), True, ""),
        (
            SimpleNamespace(returncode=1, stderr="Traceback\nImportError: libcudart.so.12: not found\n"),
            False,
            "exit status 1: ImportError: libcudart.so.12: not found",
        ),
        (SimpleNamespace(returncode=-11, stderr=""), False, "signal 11: no message"),
        (subprocess.TimeoutExpired("python", 1), False, "no end of its import"),
    ],
    ids=["loads", "import error", "crash", "hangs"],
)
def test_deep_imports_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Any, loads: bool, words: str
) -> None:
    def run(command: list[str], **_: object) -> Any:
        assert command[0] == sys.executable
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(engines, "installed", lambda *names: "1.0" if names[0] == "onnxruntime" else None)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    monkeypatch.setattr(engines.subprocess, "run", run)
    machine = read_machine(lay_out("cloud_vm", tmp_path))
    found = engines.find_engines(machine, examine(root=tmp_path).software, here=True, deep=True)
    assert (found[0].loads, found[1].loads) == (loads, None)
    assert words in found[0].detail


def test_tensorrt_without_metadata_has_the_systems_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lay_out("orin_nx_jetpack6", tmp_path)
    monkeypatch.setattr(engines, "installed", lambda *names: None)
    monkeypatch.setattr(engines, "find_spec", lambda name: object() if name == "tensorrt" else None)
    found = engines.find_engines(read_machine(root), examine(root=root).software, here=True, deep=False)
    states = {engine.name: (engine.installed, engine.version) for engine in found}
    assert states == {
        "onnxruntime": (False, None),
        "executorch": (False, None),
        "tensorrt": (True, "10.3.0.30"),
        "tensorrt-rtx": (False, None),
        "torch": (False, None),
    }


def test_root_must_be_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path / "absent")]) == 2
    assert "Option --root: got " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "allowed", "fits"),
    [
        ("1.31.1", ">=1.23,<1.32", True),
        ("1.32", ">=1.23,<1.32", False),
        ("1.32.0", "<1.32", False),
        ("2.2", ">=2.2,<2.5", True),
        ("2.5.0rc1", ">=2.2,<2.5", False),
        ("12.6.2.post1", "==12.6.2", True),
        ("3.0", ">=1,!=3.0", False),
        ("9", "", True),
        ("10.3.0.30-1+cuda12.5", ">10.3,<=10.3.0.30", True),
    ],
)
def test_ranges(version: str, allowed: str, fits: bool) -> None:
    assert within(version, allowed) == fits


def test_release_of_a_debian_version() -> None:
    assert release("8.5.2-1+cuda11.4") == (8, 5, 2)
    assert release("garbage") == ()


def test_supported_ranges_come_from_the_metadata() -> None:
    assert supported_range("numpy", None).startswith("<")
    assert ">=1.23" in supported_range("onnxruntime", "onnx")
    assert supported_range("onnxruntime", None) == ""
    assert supported_range("no-such-package", None) == ""


def test_ranges_are_open_where_edgewright_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("sdk.doctor.packages.requires", requires)
    assert supported_range("numpy", None) == ""
