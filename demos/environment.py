"""What a measurement ran on, for people to read."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from sdk.artifact.provenance import versions_of

PACKAGES = (
    "edgewright",
    "numpy",
    "pillow",
    "torch",
    "torchvision",
    "lightning",
    "onnx",
    "onnxruntime",
    "executorch",
    "tensorrt",
    "tensorrt-rtx-cu13",
)


def describe_environment() -> dict[str, str]:
    """Processor, system, Python and the versions that matter, as name and value."""
    facts = {
        "Processor": f"{_processor()}, {_usable_cores()} cores for this process",
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": platform.python_version(),
    }
    return {**facts, **versions_of(PACKAGES)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [
        line.partition(":")[2].strip()
        for line in lines
        if line.lower().startswith(("model name", "hardware"))
    ]
    return names[0] if names else platform.machine()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
