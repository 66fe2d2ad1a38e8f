"""`read_machine` on the recorded devices and on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sdk.machine import Machine, read_machine
from sdk.machine.gpus import capability_of
from sdk.machine.jetson import jetpack_of
from sdk.machine.software import read_software
from tests.sdk.machine.recorded import DEVICES, lay_out, put, read_device

GB = 1024**3
READ_S = 0.5  # 50 ms is the aim; ten times that still tells a driver query or an import apart

CLASSES = {
    "agx_orin_jetpack5": "aarch64 | Jetson AGX Orin Developer Kit | Cortex-A78AE | 12 cores | L4T 35 "
    "| mode MAXN | governor schedutil",
    "agx_thor_jetpack7": "aarch64 | NVIDIA Jetson AGX Thor Developer Kit | Neoverse-V3AE | 14 cores | L4T 38 "
    "| mode 120W | governor schedutil",
    "cloud_vm": "x86_64 | AMD EPYC (family 25, model 17) | 2 cores",
    "orin_nx_jetpack6": "aarch64 | NVIDIA Jetson Orin NX Engineering Reference Developer Kit | Cortex-A78AE "
    "| 8 cores | L4T 36 | mode 15W | governor schedutil",
    "pc_no_gpu": "x86_64 | Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz | 4 cores | governor powersave",
    "pc_nvidia": "x86_64 | AMD Ryzen 9 7950X 16-Core Processor | 4 cores | NVIDIA GeForce RTX 3090 "
    "| governor powersave",
    "raspberry_pi_5": "aarch64 | Raspberry Pi 5 Model B Rev 1.0 | Cortex-A76 | 4 cores | governor ondemand",
}
JETSONS = {
    "agx_orin_jetpack5": ("tegra234", "35.3.1", "5.1.1", "MAXN", "sm_87", "8.7", "8.5.2", "11.4.19", "3.8"),
    "orin_nx_jetpack6": ("tegra234", "36.4.3", "6.2", "15W", "sm_87", "8.7", "10.3.0.30", "12.6.68", "3.10"),
    "agx_thor_jetpack7": (
        "tegra264",
        "38.2.0",
        "7.0",
        "120W",
        "sm_110",
        "11.0",
        "10.13.3.9",
        "13.0.48",
        "3.12",
    ),
}


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return read_machine(lay_out(request.param, tmp_path))


@pytest.mark.parametrize("name", DEVICES)
def test_device_record_names_the_source_of_each_file(name: str) -> None:
    record = read_device(name)
    assert record["device"] and record["note"]
    used = set()
    for path, file in record["files"].items():
        assert not path.startswith("/") and ".." not in path
        if file["origin"] == "listed":
            used.add(file["source"])
        else:
            assert file["origin"] == "completed" and file["why"], path
    assert used <= set(record["sources"])
    assert used, "a device of which nothing was listed"


@pytest.mark.parametrize(("machine", "expected"), CLASSES.items(), indirect=["machine"], ids=CLASSES)
def test_machine_class_names_what_timings_depend_on(machine: Machine, expected: str) -> None:
    assert machine.machine_class == expected


@pytest.mark.parametrize("name", JETSONS)
def test_jetson_is_told_from_its_files(tmp_path: Path, name: str) -> None:
    root = lay_out(name, tmp_path)
    machine, software = read_machine(root), read_software(root)
    jetson = machine.jetson
    assert jetson is not None
    assert (
        jetson.soc,
        jetson.l4t,
        jetson.jetpack,
        jetson.power_mode,
        jetson.cuda_architecture,
        machine.gpus[0].compute_capability,
        software.tensorrt,
        software.cuda,
        software.python,
    ) == JETSONS[name]
    assert software.tensorrt_python
    assert len(machine.gpus) == 1
    assert machine.name == jetson.model
    assert not machine.virtual


@pytest.mark.parametrize("machine", ["agx_thor_jetpack7"], indirect=True)
def test_temperatures_leave_out_sleeping_sensors(machine: Machine) -> None:
    assert machine.temperatures_c == {
        "cpu-thermal": 53.7,
        "soc012-thermal": 55.1,
        "soc345-thermal": 53.7,
        "tj-thermal": 55.1,
    }


def test_temperatures_leave_out_impossible_values_and_number_equal_names(tmp_path: Path) -> None:
    machine = read_machine(lay_out("agx_orin_jetpack5", tmp_path))
    assert set(machine.temperatures_c) == {
        "CPU-therm",
        "GPU-therm",
        "SOC0-therm",
        "SOC1-therm",
        "SOC2-therm",
        "tj-therm",
    }
    put(tmp_path, "sys/class/thermal/thermal_zone12/type", "tj-therm")
    put(tmp_path, "sys/class/thermal/thermal_zone12/temp", "50000")
    assert read_machine(tmp_path).temperatures_c["tj-therm #2"] == 50.0


@pytest.mark.parametrize("machine", ["raspberry_pi_5"], indirect=True)
def test_raspberry_pi_under_voltage_is_seen(machine: Machine) -> None:
    assert machine.throttled == "Raspberry Pi firmware: under-voltage, throttled"
    assert machine.cpu.model == "Cortex-A76"
    assert machine.cpu.features == ("asimd", "asimdhp", "asimddp")
    assert machine.cpu.frequencies_mhz == (1500.0,) * 4
    assert machine.cpu.max_mhz == 2400.0
    assert (machine.gpus, machine.jetson) == ((), None)
    assert machine.memory_bytes == pytest.approx(8 * GB, rel=0.05)
    assert machine.swap_bytes == 2096128 * 1024


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("sys/class/thermal/cooling_device7/cur_state", "1", "thermal alarm gpu-throttle-alert"),
        ("sys/class/hwmon/hwmon9/in0_lcrit_alarm", "1", "Raspberry Pi supply: under-voltage"),
    ],
    ids=["alarm", "supply"],
)
def test_throttling_is_seen_elsewhere_too(tmp_path: Path, name: str, text: str, reason: str) -> None:
    root = lay_out("agx_thor_jetpack7", tmp_path)
    put(root, "sys/class/hwmon/hwmon9/name", "rpi_volt")
    assert read_machine(root).throttled is None
    put(root, name, text)
    assert read_machine(root).throttled == reason


@pytest.mark.parametrize("machine", ["pc_nvidia"], indirect=True)
def test_gpus_of_a_pc(machine: Machine) -> None:
    nvidia, amd = machine.gpus
    assert (nvidia.name, nvidia.driver, nvidia.compute_capability, nvidia.pci_id) == (
        "NVIDIA GeForce RTX 3090",
        "575.64.03",
        "8.6",
        "10de:2204",
    )
    assert (amd.name, amd.driver, amd.compute_capability) == ("AMD 1002:164e", "amdgpu", None)
    assert machine.temperatures_c == {"k10temp Tctl": 51.25}
    assert "avx512_vnni" in machine.cpu.features


def test_gpu_without_driver_is_there_by_its_ids(tmp_path: Path) -> None:
    root = lay_out("pc_nvidia", tmp_path)
    (root / "proc/driver/nvidia/version").unlink()
    (root / "proc/driver/nvidia/gpus/0000:01:00.0/information").unlink()
    put(root, "sys/bus/pci/devices/0000:01:00.0/uevent", "PCI_CLASS=30000\n")
    machine = read_machine(root)
    assert (machine.gpus[0].name, machine.gpus[0].driver) == ("NVIDIA 10de:2204", None)
    assert "10de" not in machine.machine_class


def test_container_shows_the_driver_without_the_bus(tmp_path: Path) -> None:
    root = lay_out("pc_nvidia", tmp_path)
    for path in (root / "sys/bus/pci/devices").rglob("class"):
        path.unlink()
    assert [gpu.name for gpu in read_machine(root).gpus] == ["NVIDIA GeForce RTX 3090"]


def test_quota_and_affinity_limit_the_usable_cores(tmp_path: Path) -> None:
    root = lay_out("cloud_vm", tmp_path)
    machine = read_machine(root)
    assert (machine.cpu.cores, machine.cpu.usable_cores) == (2, 2)  # 1.5 cores' worth of time, rounded up
    assert (machine.container, machine.virtual) == ("kubernetes", True)
    put(root, "sys/fs/cgroup/cpu.max", "max 100000")
    put(root, "proc/self/status", "Cpus_allowed_list:\t1\n")
    assert read_machine(root).cpu.usable_cores == 1
    assert " | 1 core" in read_machine(root).machine_class
    put(root, "proc/self/status", "Cpus_allowed_list:\tgarbage\n")
    (root / "sys/fs/cgroup/cpu.max").unlink()
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000")
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert read_machine(root).cpu.usable_cores == 1


@pytest.mark.parametrize("name", DEVICES)
def test_to_dict_is_json_and_has_documented_keys(tmp_path: Path, name: str) -> None:
    tree: dict[str, Any] = json.loads(json.dumps(read_machine(lay_out(name, tmp_path)).to_dict()))
    assert set(tree) == {
        "name", "architecture", "cpu", "memory_bytes", "swap_bytes", "system", "kernel", "jetson", "gpus",
        "container", "virtual", "throttled", "temperatures_c", "machine_class",
    }  # fmt: skip
    assert set(tree["cpu"]) == {
        "model", "cores", "usable_cores", "governor", "frequencies_mhz", "max_mhz", "features",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("32.7.4", "4.6.4"),
        ("35.1.0", "5.0.2"),
        ("35.5.0", "5.1.3"),
        ("36.3.0", "6.0"),
        ("36.4.0", "6.1"),
        ("36.4.4", "6.2.1"),
        ("38.2.0", "7.0"),
        ("38.4.0", "7.1"),
        ("39.2.0", "7.2"),
        ("99.1.0", None),
    ],
)
def test_jetpack_of_l4t(l4t: str, jetpack: str | None) -> None:
    assert jetpack_of(l4t) == jetpack


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA GeForce RTX 5070 Ti", "12.0"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "12.0"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA RTX 4000 Ada Generation", "8.9"),
        ("NVIDIA RTX 5000 Ada Generation", "8.9"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6"),
        ("NVIDIA RTX A6000", "8.6"),
        ("NVIDIA A100-SXM4-40GB", "8.0"),
        ("Tesla T4", "7.5"),
        ("Quadro RTX 4000", "7.5"),
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("NVIDIA GeForce GTX 1080", "6.1"),
        ("Orin (nvgpu)", "8.7"),
        ("A card of the future", None),
    ],
)
def test_capability_by_name(name: str, capability: str | None) -> None:
    assert capability_of(name) == capability


def test_empty_root_gives_a_machine_of_unknowns(tmp_path: Path) -> None:
    machine = read_machine(tmp_path)
    assert (machine.name, machine.architecture, machine.cpu.cores) == ("unknown CPU", "unknown", 1)
    assert read_software(tmp_path).python is None


def test_broken_files_are_no_error(tmp_path: Path) -> None:
    root = lay_out("orin_nx_jetpack6", tmp_path)
    for name in ("etc/nv_tegra_release", "etc/nvpmodel.conf", "proc/meminfo", "usr/local/cuda/version.json"):
        put(root, name, "\x00garbage : : \n< POWER_MODEL")
    machine = read_machine(root)
    assert machine.jetson is not None
    assert machine.jetson.l4t == "36.4.3"  # from the package then
    assert machine.jetson.power_mode == "mode 2"
    assert machine.memory_bytes == 0
    assert read_software(root).cuda is None


def test_this_machine_is_read_quickly_and_without_engines(root: Path) -> None:
    started = time.perf_counter()
    machine = read_machine()
    assert time.perf_counter() - started < READ_S
    assert machine.memory_bytes > 0
    assert machine.cpu.usable_cores >= 1
    program = (
        "import sys\nfrom sdk.machine import read_machine\nread_machine()\n"
        "heavy = {'torch', 'onnxruntime', 'tensorrt', 'executorch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
