"""Compiling the shim for the installed executorch, with the C++ compiler of this machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from runtimes.errors import EngineError, EngineMissingError, first_line
from runtimes.executorch_shim import FOLDER_VARIABLE, SOURCE, Package, file_name, find_package, folders

COMPILERS = ("c++", "g++", "clang++")
COMPILE_SECONDS = 300.0
"""Two seconds on a workstation; a small board under load takes a minute."""
# As executorch's own CMake files have it (1.5), and the tracer's hooks, which its libraries are built with.
_DEFINES = ("C10_USING_CUSTOM_GENERATED_MACROS", "ET_USE_THREADPOOL", "ET_EVENT_TRACER_ENABLED")
_LIBRARIES = (
    "executorch_kernels_optimized",
    "executorch_backend_xnnpack",
    "executorch_threadpool",
    "executorch",
)


def build_shim(folder: Path | None = None, compiler: str | None = None) -> Path:
    """Compile the shim for the installed executorch.

    Args:
        folder: Where to put it; default: the first of `folders` that can be written to.
        compiler: Its command; default: `$CXX`, else the first of `COMPILERS` that is there.

    Returns:
        The library. An older one is replaced only when the new one is complete.

    Raises:
        EngineMissingError: executorch, its C++ part, or a compiler is missing.
        EngineError: The compiler refused, took longer than `COMPILE_SECONDS`, or made what cannot be loaded.
    """
    package = find_package()
    _require_cxx_runtime(package)
    command = _require_compiler(compiler or os.environ.get("CXX") or None)
    target = _writable(folder) / file_name(package)
    handle, unfinished = tempfile.mkstemp(suffix=".so", dir=target.parent)
    os.close(handle)
    try:
        _compile([*command, *_arguments(package), "-o", unfinished])
        _require_loadable(unfinished)
        Path(unfinished).chmod(0o755)
        Path(unfinished).replace(target)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return target


def _arguments(package: Package) -> list[str]:
    headers = package.headers
    c10 = headers / "executorch" / "runtime" / "core" / "portable_type" / "c10"
    return [
        "-std=c++17",
        "-O2",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        *(f"-D{name}" for name in _DEFINES),
        *(word for folder in (headers, c10) for word in ("-isystem", str(folder))),
        str(SOURCE),
        f"-L{package.libraries}",
        # Kernels and backend register themselves when they are loaded; nothing in the shim names them.
        "-Wl,--no-as-needed",
        *(f"-l{name}" for name in _LIBRARIES),
        f"-Wl,-rpath,{package.libraries}",
        "-Wl,-z,defs",
    ]


def _compile(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMPILE_SECONDS, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(f"no end within {COMPILE_SECONDS:.0f} s") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise _refused((said or done.stderr.splitlines() or [f"exit code {done.returncode}"])[0][:400])


def _require_loadable(path: str) -> None:
    try:
        ctypes.CDLL(path)
    except OSError as error:
        raise _refused(first_line(error)) from error


def _refused(got: str) -> EngineError:
    return EngineError(
        "ExecuTorch shim",
        got=got,
        expected="a compiler that takes C++17",
        fix="Install g++ 9 or later, or name another compiler in CXX. Without the shim .pte opens through "
        "torch.",
    )


def _require_cxx_runtime(package: Package) -> None:
    missing = [
        path
        for path in (
            package.headers / "executorch" / "runtime" / "executor" / "program.h",
            *(package.libraries / f"lib{name}.so" for name in _LIBRARIES),
        )
        if not path.is_file()
    ]
    if missing or sys.platform != "linux":
        raise EngineMissingError(
            "ExecuTorch's C++ runtime",
            got=f"executorch {package.version} without {missing[0].name}" if missing else sys.platform,
            expected="the headers and shared libraries of executorch 1.5 for Linux",
            fix="Install executorch 1.5.1 or later, or let .pte open through torch (native=False).",
        )


def _require_compiler(named: str | None) -> list[str]:
    words = named.split() if named else [next(filter(shutil.which, COMPILERS), "")]
    if not words or not shutil.which(words[0]):
        raise EngineMissingError(
            "C++ compiler",
            got=f"no command {named!r}" if named else f"none of {', '.join(COMPILERS)}",
            expected="one that takes C++17",
            fix="On Debian, Ubuntu and JetPack: apt-get install g++. Without it .pte opens through torch.",
        )
    return words


def _writable(folder: Path | None) -> Path:
    problem = ""
    for candidate in (folder,) if folder else folders():
        try:
            candidate.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"{candidate} ({error.strerror})"
            continue
        if os.access(candidate, os.W_OK):
            return candidate
        problem = f"{candidate} (read-only)"
    raise EngineError(
        "ExecuTorch shim",
        got=problem,
        expected="a folder to write to",
        fix=f"Name one in {FOLDER_VARIABLE}.",
    )
