"""Which integers a CPU multiplies well, by what its maker built in.

ONNX Runtime's own advice (docstring of ``onnxruntime.quantization.quantize_static``): uint8 activations and
int8 weights on x86, with weights of 7 bits where the CPU lacks VNNI; int8 for both on ARM. Without VNNI two
products of 8 bits are added up in 16 bits (``vpmaddubsw``), which saturates: 2 · 255 · 127 > 32767, while
2 · 255 · 63 fits.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_X86 = ("x86_64", "amd64", "i686")
_VNNI_FLAGS = frozenset({"avx512_vnni", "avx512vnni", "avx_vnni"})


@dataclass(frozen=True)
class IntegerTypes:
    """Types in a quantised graph.

    Attributes:
        activation: ``uint8`` with any zero point, or ``int8`` with zero point 0.
        weight: ``int8``, always with zero point 0.
        reduce_range: Weights use 7 of their 8 bits.
        reason: Why these.
    """

    activation: str
    weight: str
    reduce_range: bool
    reason: str

    @property
    def symmetric(self) -> bool:
        """Whether activations have zero point 0."""
        return self.activation == "int8"

    def to_json(self) -> dict[str, Any]:
        """For an artifact's evidence."""
        return asdict(self)


TENSORRT_TYPES = IntegerTypes("int8", "int8", False, "TensorRT takes signed integers with zero point 0 only")


def cpu_types(machine: str | None = None, cpu_flags: frozenset[str] | None = None) -> IntegerTypes:
    """The types that suit a CPU.

    Args:
        machine: As `platform.machine` says it; None for this machine.
        cpu_flags: What the CPU has, as ``/proc/cpuinfo`` calls it; None reads it there.
    """
    machine = (machine or platform.machine()).lower()
    if machine not in _X86:
        return IntegerTypes("int8", "int8", False, f"{machine}: signed integers with zero point 0")
    vnni = bool(_VNNI_FLAGS & (read_cpu_flags() if cpu_flags is None else cpu_flags))
    if vnni:
        return IntegerTypes("uint8", "int8", False, "x86 with VNNI: sums of 8-bit products do not saturate")
    return IntegerTypes(
        "uint8", "int8", True, "x86 without VNNI: 7-bit weights, or sums of 8-bit products saturate"
    )


def read_cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Flags of the first CPU; empty where the system does not list them, which is the careful answer."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    listed = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(listed.split())
