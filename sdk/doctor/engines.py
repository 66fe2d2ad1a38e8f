"""Which engines are installed, without importing one: torch alone takes seconds and hundreds of megabytes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec

from runtimes import EngineMissingError
from sdk.doctor.diagnosis import EngineState
from sdk.doctor.packages import installed, release
from sdk.machine import Machine
from sdk.machine.software import Software

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
OLDEST_TENSORRT = (8, 6)
CUDA_BINDING = ("cuda-bindings", "cuda-python")
IMPORT_TIMEOUT_S = 180.0


@dataclass(frozen=True)
class _Engine:
    name: str
    suffixes: tuple[str, ...]
    distributions: tuple[str, ...]
    module: str
    extra: str


ENGINES = (
    _Engine(
        "onnxruntime",
        (".onnx",),
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn"),
        "onnxruntime",
        "onnx",
    ),
    _Engine("executorch", (".pte",), ("executorch",), "executorch.runtime", "executorch"),
    _Engine(
        TENSORRT,
        (".trt", ".engine"),
        ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11"),
        "tensorrt",
        "tensorrt",
    ),
    _Engine(
        TENSORRT_RTX,
        (".trt", ".engine"),
        ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx"),
        "tensorrt_rtx",
        "tensorrt-rtx",
    ),
    _Engine("torch", (".safetensors",), ("torch",), "torch", "train"),
)


def find_engines(machine: Machine, software: Software, *, here: bool, deep: bool) -> tuple[EngineState, ...]:
    """The state of every engine.

    Args:
        machine: The machine.
        software: What its system brings.
        here: Whether this process runs on it, so that its own packages count.
        deep: Import each installed engine in a process of its own. That takes seconds.
    """
    states = tuple(_state(engine, machine, software, here) for engine in ENGINES)
    return tuple(_tried(state) for state in states) if deep and here else states


def cuda_binding() -> str | None:
    """Version of the CUDA binding that TensorRT needs; None: none is installed."""
    return installed(*CUDA_BINDING)


def extra_of(name: str) -> str:
    """The extra that installs an engine."""
    return next(engine.extra for engine in ENGINES if engine.name == name)


def too_old(engine: EngineState) -> bool:
    """Whether it is a TensorRT from before the oldest that is supported."""
    return (
        engine.name == TENSORRT and bool(engine.version) and release(engine.version or "") < OLDEST_TENSORRT
    )


def _state(engine: _Engine, machine: Machine, software: Software, here: bool) -> EngineState:
    fix = f"pip install 'edgewright[{engine.extra}]'"
    if engine.name == TENSORRT and machine.jetson:
        fix = "sudo apt install nvidia-jetpack, and a virtual environment with --system-site-packages"
    if not here:
        known = software.tensorrt if engine.name == TENSORRT else None
        detail = "the system's own package" if known else "not known from recorded files"
        return EngineState(engine.name, engine.suffixes, known, True if known else None, None, detail, fix)
    found = installed(*engine.distributions)
    # Built from source, or packaged by the system without metadata: there all the same.
    present = found is not None or find_spec(engine.module.partition(".")[0]) is not None
    if present and found is None and engine.name == TENSORRT:
        found = software.tensorrt
    detail = _detail(engine.name) if present else ""
    return EngineState(engine.name, engine.suffixes, found, present, None, detail, fix)


def _detail(name: str) -> str:
    if name == "executorch":
        return "through the native shim" if has_shim() else "through its Python package, which imports torch"
    if name in (TENSORRT, TENSORRT_RTX):
        binding = cuda_binding()
        return f"with cuda-bindings {binding}" if binding else "without a CUDA binding"
    return ""


def has_shim() -> bool:
    """Whether the native shim for the installed executorch was built."""
    from runtimes.executorch_shim import find_package, find_shim

    try:
        return find_shim(find_package()) is not None
    except EngineMissingError:
        return False


def _tried(state: EngineState) -> EngineState:
    """The state after importing the engine in a process of its own, which a crash cannot leave."""
    if not state.installed:
        return state
    module = next(engine.module for engine in ENGINES if engine.name == state.name)
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=IMPORT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return replace(state, loads=False, detail=f"no end of its import after {IMPORT_TIMEOUT_S:g} s")
    if done.returncode == 0:
        return replace(state, loads=True)
    last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    return replace(state, loads=False, detail=f"its import ended by {how}: {last}")
