"""What speaks for or against the machine: Python, packages, power mode, clocks, memory, GPU, sensors."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from sdk.doctor.diagnosis import NOTE, OK, PROBLEM, EngineState, Finding
from sdk.doctor.engines import (
    CUDA_BINDING,
    OLDEST_TENSORRT,
    TENSORRT,
    TENSORRT_RTX,
    cuda_binding,
    has_shim,
)
from sdk.doctor.packages import installed, release, supported_range, within
from sdk.machine import Machine
from sdk.machine.energy import open_energy_reader
from sdk.machine.files import Files
from sdk.machine.jetson import fastest_mode
from sdk.machine.software import Software

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
GIB = 1 << 30
LITTLE_MEMORY_BYTES = 8 * GIB
_RAPL = "sys/class/powercap"
# Under these drivers "powersave" scales the clock with the load; under others it pins the lowest.
_SCALING_DRIVERS = ("intel_pstate", "amd-pstate-epp", "amd-pstate")
_CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"


def machine_findings(
    files: Files, machine: Machine, software: Software, engines: tuple[EngineState, ...], here: bool
) -> tuple[Finding, ...]:
    """Everything about the machine that a user should know, problems first.

    Args:
        files: Its files.
        machine: What they say of the hardware.
        software: What they say of the system.
        engines: States of the engines.
        here: Whether this process runs on it.
    """
    found = [
        *_python(software, here),
        *(_packages() if here else ()),
        *_jetson(files, machine),
        *_clocks(files, machine),
        *_memory(machine),
        *_gpu(machine, software, {engine.name: engine for engine in engines}, here),
        *(_shim(engines) if here else ()),
        *_sensors(files, machine),
    ]
    order = {PROBLEM: 0, NOTE: 1, OK: 2}
    return tuple(sorted(found, key=lambda finding: order[finding.severity]))


def python_is_usable(text: str | None) -> bool:
    """Whether a Python of that version can run Edgewright; an unknown one counts as usable."""
    return not text or OLDEST_PYTHON <= release(text)[:2] <= NEWEST_PYTHON


def _python(software: Software, here: bool) -> Iterator[Finding]:
    if here:
        yield Finding("Python", OK, platform.python_version())
    elif not python_is_usable(software.python):
        yield Finding(
            "Python",
            PROBLEM,
            f"the system's is {software.python}, and its TensorRT bindings are for that one alone",
            "Install JetPack 6 or later, or use .onnx and .pte in an environment of Python 3.10 or later.",
        )
    elif software.python:
        yield Finding("Python", OK, f"the system's is {software.python}")


def _packages() -> Iterator[Finding]:
    for name in ("numpy", "pillow"):
        have, want = installed(name), supported_range(name, None)
        if have and want and not within(have, want):
            fix = f"pip install '{name}{want}'"
            yield Finding(name, PROBLEM, f"{have} is outside of the tested range {want}", fix)


def _jetson(files: Files, machine: Machine) -> Iterator[Finding]:
    jetson = machine.jetson
    if not jetson:
        return
    if jetson.jetpack is None:
        text = f"Jetson Linux {jetson.l4t} is in no list here"
        yield Finding("JetPack", NOTE, text, "See `apt show nvidia-jetpack`.")
    else:
        yield Finding("JetPack", OK, f"{jetson.jetpack} (Jetson Linux {jetson.l4t})")
    mode = jetson.power_mode
    if mode and not mode.upper().startswith("MAXN"):
        number = fastest_mode(files)
        fix = f"sudo nvpmodel -m {number}" if number is not None else "Choose a faster mode with nvpmodel."
        text = f"{mode}, which is not the fastest; right where power or heat is limited"
        yield Finding("power mode", NOTE, text, fix)
    elif mode:
        yield Finding("power mode", OK, mode)
    if machine.container:
        text = "in a container: it sees the GPU only when NVIDIA's runtime started it"
        yield Finding("container", NOTE, text, "docker run --runtime nvidia …")


def _clocks(files: Files, machine: Machine) -> Iterator[Finding]:
    if machine.throttled:
        fix = "Cool it, or give it a stronger power supply; timings taken now mean little."
        yield Finding("clock", PROBLEM, f"throttled: {machine.throttled}", fix)
    driver = files.text(f"{_CPUFREQ}/scaling_driver")
    if machine.cpu.governor == "powersave" and driver not in _SCALING_DRIVERS:
        text = "governor powersave keeps the lowest clock"
        yield Finding("clock", NOTE, text, "sudo cpupower frequency-set -g performance")
    elif machine.jetson and machine.cpu.governor not in (None, "performance"):
        text = f"governor {machine.cpu.governor}: the clock follows the load, and short runs see it rise"
        yield Finding("clock", NOTE, text, "sudo jetson_clocks, before benchmarks")
    if machine.virtual and not machine.cpu.governor:
        yield Finding(
            "clock", OK, "virtual machine: shows no clock, so benchmarks cannot see it throttle here"
        )


def _memory(machine: Machine) -> Iterator[Finding]:
    if machine.memory_bytes and machine.memory_bytes < LITTLE_MEMORY_BYTES and not machine.swap_bytes:
        yield Finding(
            "memory",
            NOTE,
            f"{machine.memory_bytes / GIB:.1f} GiB and no swap: building an engine may be killed",
            "Add swap: sudo fallocate -l 8G /swap && sudo chmod 600 /swap && sudo mkswap /swap "
            "&& sudo swapon /swap",
        )


def _gpu(
    machine: Machine, software: Software, engines: dict[str, EngineState], here: bool
) -> Iterator[Finding]:
    bare = [gpu for gpu in machine.gpus if gpu.driver is None and (gpu.pci_id or "").startswith("10de:")]
    for gpu in bare:
        yield Finding("GPU", NOTE, f"{gpu.name} has no driver", "Install NVIDIA's driver.")
    usable = any(gpu.driver and gpu.compute_capability for gpu in machine.gpus)
    any_tensorrt = engines[TENSORRT].installed or engines[TENSORRT_RTX].installed
    if software.tensorrt and release(software.tensorrt)[:2] < OLDEST_TENSORRT:
        text = f"the system's is {software.tensorrt}; 8.6 to 11 are supported"
        yield Finding("TensorRT", PROBLEM, text, "Install JetPack 6 or later.")
    elif here and software.tensorrt_python and not engines[TENSORRT].installed:
        yield Finding(
            "TensorRT",
            NOTE,
            f"the system has {software.tensorrt}, but this Python does not see it",
            f"Make the environment anew: python{software.python or '3'} -m venv --system-site-packages .venv",
        )
    elif here and usable and not any_tensorrt:
        name = TENSORRT if machine.jetson else TENSORRT_RTX
        yield Finding("TensorRT", NOTE, "there is a GPU, but no TensorRT", f"Run: {engines[name].fix}")
    if here and any_tensorrt and not cuda_binding():
        text = f"TensorRT is here, but none of {' and '.join(CUDA_BINDING)}"
        yield Finding("CUDA binding", PROBLEM, text, f"pip install {_binding_for(software)}")


def _binding_for(software: Software) -> str:
    """A requirement for the binding of the CUDA major version that the system has."""
    major = release(software.cuda or "")[:1]
    return f"'cuda-bindings=={major[0]}.*'" if major else "cuda-bindings"


def _shim(engines: tuple[EngineState, ...]) -> Iterator[Finding]:
    executorch = next(engine for engine in engines if engine.name == "executorch")
    if executorch.installed and not has_shim():
        text = "not built: .pte opens through executorch's Python package, which imports torch"
        yield Finding("ExecuTorch shim", NOTE, text, "edgewright build-native")


def _sensors(files: Files, machine: Machine) -> Iterator[Finding]:
    reader = open_energy_reader(files.root)
    if reader is not None:
        yield Finding("energy", OK, f"readable: {reader.source}")
    elif files.names(f"{_RAPL}/*-rapl:[0-9]*") and not machine.jetson:
        text = "RAPL is there, but only root may read its counters"
        yield Finding("energy", NOTE, text, f"sudo chmod a+r /{_RAPL}/*/energy_uj")
