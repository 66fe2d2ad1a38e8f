"""Reading a machine's description from the files below a root."""

from __future__ import annotations

import re
from pathlib import Path

from sdk.machine.cpu import architecture_of, is_virtual, read_cpu
from sdk.machine.files import Files
from sdk.machine.gpus import read_gpus
from sdk.machine.jetson import jetson_gpu, read_jetson
from sdk.machine.machine import Machine
from sdk.machine.throttle import read_temperatures, throttled_now

_CONTAINER_WORDS = (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc"))


def read_machine(root: Path = Path("/")) -> Machine:
    """Describe the machine whose files are below `root`. Imports no engine and asks no driver.

    Args:
        root: `/` for this machine, or a folder of files recorded from another one, laid out like its root.

    Returns:
        What the files tell. Those that are missing leave their attribute empty or None: no board has all.
    """
    files = Files(Path(root))
    cpu, jetson = read_cpu(files), read_jetson(files)
    memory = files.fields("proc/meminfo")
    gpus = read_gpus(files)
    if jetson and not any(gpu.compute_capability for gpu in gpus):
        gpus = (jetson_gpu(jetson), *gpus)
    board = files.text("proc/device-tree/model")
    release = files.fields("etc/os-release")
    return Machine(
        name=board or cpu.model,
        architecture=architecture_of(files),
        cpu=cpu,
        memory_bytes=_kibibytes(memory.get("MemTotal", "")),
        swap_bytes=_kibibytes(memory.get("SwapTotal", "")),
        system=release.get("PRETTY_NAME", release.get("NAME", "unknown")),
        kernel=_kernel(files),
        jetson=jetson,
        gpus=gpus,
        container=_container(files),
        virtual=is_virtual(files),
        throttled=throttled_now(files),
        temperatures_c=read_temperatures(files),
    )


def _kibibytes(text: str) -> int:
    number = text.split()[:1]
    return int(number[0]) * 1024 if number and number[0].isdigit() else 0


def _kernel(files: Files) -> str:
    found = re.search(r"Linux version (\S+)", files.text("proc/version") or "")
    return files.text("proc/sys/kernel/osrelease") or (found[1] if found else "unknown")


def _container(files: Files) -> str | None:
    if files.exists(".dockerenv"):
        return "docker"
    if files.exists("run/.containerenv"):
        return "podman"
    groups = files.text("proc/1/cgroup") or ""
    return next((name for word, name in _CONTAINER_WORDS if word in groups), None)
