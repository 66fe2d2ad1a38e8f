"""The processor, from /proc/cpuinfo, cpufreq, the affinity mask and the container's quota."""

from __future__ import annotations

import math
import re

from sdk.machine.files import Files, count_listed, parse_fields
from sdk.machine.machine import Cpu

CPUFREQ = "sys/devices/system/cpu/cpu[0-9]*/cpufreq"

# What XNNPACK and ONNX Runtime choose their kernels by.
_FEATURES = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_int8", "amx_bf16", "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
    "sve2", "svei8mm",
)  # fmt: skip
# "CPU implementer" and "CPU part" of /proc/cpuinfo: MIDR_EL1, as Linux names them in
# arch/arm64/include/asm/cputype.h.
_ARM_CORES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD83): "Neoverse-V3AE",
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD8E): "Neoverse-N3",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
}


def read_cpu(files: Files) -> Cpu:
    """The processor as the files below the root describe it."""
    info = files.text("proc/cpuinfo") or ""
    blocks = [parse_fields(block) for block in re.split(r"\n\s*\n", info)]
    cores = [block for block in blocks if "processor" in block]
    first = cores[0] if cores else {}
    flags = set(first.get("flags", first.get("Features", "")).split())
    governor = files.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    limits = [files.integer(f"{name}/scaling_max_freq") for name in files.names(CPUFREQ)]
    return Cpu(
        model=_model(cores),
        cores=len(cores) or 1,
        usable_cores=_usable(files, len(cores) or 1),
        governor=governor or None,
        frequencies_mhz=frequencies_mhz(files, cores),
        max_mhz=max((limit / 1000 for limit in limits if limit), default=None),
        features=tuple(name for name in _FEATURES if name in flags),
    )


def architecture_of(files: Files) -> str:
    """``x86_64``, ``aarch64``, ``armv7l``: as the kernel names it, else from the CPU's features."""
    named = files.text("proc/sys/kernel/arch")  # since Linux 6.1
    if named:
        return named
    info = files.fields("proc/cpuinfo")
    if "flags" in info:
        return "x86_64" if "lm" in info["flags"].split() else "i686"
    if "Features" in info:
        return "aarch64" if "asimd" in info["Features"].split() else "armv7l"
    return "unknown"


def is_virtual(files: Files) -> bool:
    """Whether a hypervisor shows itself: CPU flag, firmware names, device tree."""
    if "hypervisor" in files.fields("proc/cpuinfo").get("flags", "").split():
        return True
    maker = " ".join(files.text(f"sys/class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name"))
    known = ("QEMU", "KVM", "VMware", "VirtualBox", "Virtual Machine", "Xen", "Bochs", "Parallels")
    return any(name in maker for name in known) or files.exists("proc/device-tree/hypervisor")


def frequencies_mhz(files: Files, cores: list[dict[str, str]]) -> tuple[float, ...]:
    """Current clock of each core: cpufreq's, else what /proc/cpuinfo says; empty where neither tells."""
    current = [files.integer(f"{name}/scaling_cur_freq") for name in files.names(CPUFREQ)]
    if current and all(current):
        return tuple(value / 1000 for value in current if value)
    told = [core["cpu MHz"] for core in cores if re.fullmatch(r"[\d.]+", core.get("cpu MHz", ""))]
    return tuple(float(value) for value in told)


def _model(cores: list[dict[str, str]]) -> str:
    parts = [(core.get("CPU implementer"), core.get("CPU part")) for core in cores]
    found = dict.fromkeys(_arm_core(maker, part) for maker, part in parts if maker and part)
    if found:
        return " + ".join(found)
    first = cores[0] if cores else {}
    name = " ".join(first.get("model name", "").split())
    if name and not any(character.isdigit() for character in name) and "cpu family" in first:
        # Clouds call generations of very different speed by one name.
        name += f" (family {first['cpu family']}, model {first.get('model')})"
    return name or "unknown CPU"


def _arm_core(maker: str, part: str) -> str:
    try:
        return _ARM_CORES.get((int(maker, 16), int(part, 16)), f"Arm core {maker}:{part}")
    except ValueError:
        return f"Arm core {maker}:{part}"


def _usable(files: Files, cores: int) -> int:
    allowed = count_listed(files.fields("proc/self/status").get("Cpus_allowed_list", ""))
    usable = min(cores, allowed) if allowed else cores
    quota = _quota(files)
    return max(1, min(usable, math.ceil(quota))) if quota else usable


def _quota(files: Files) -> float | None:
    """Cores' worth of time that a container may use: cgroup version 2, then version 1."""
    words = (files.text("sys/fs/cgroup/cpu.max") or "").split()
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    quota = files.integer("sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = files.integer("sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None
