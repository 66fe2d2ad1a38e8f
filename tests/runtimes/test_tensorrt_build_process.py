"""The process that engines are built in: what happens when it crashes, hangs, or loses its caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runtimes import (
    EngineError,
    tensorrt_build_process,
)
from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_options import BuildOptions


def _child_script(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Run `text` in place of the builder's module."""
    (folder / "other_child.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(tensorrt_build_process, "__name__", "other_child")


def test_subprocess_crash_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _child_script(monkeypatch, tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    with pytest.raises(EngineError, match=r"a builder that ended by signal SIGSEGV \(nothing printed\)"):
        build_in_subprocess(b"", BuildOptions())


def test_subprocess_is_killed_at_its_time_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    _child_script(
        monkeypatch,
        tmp_path,
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n",
    )
    with pytest.raises(EngineError, match="TensorRT build: got no end after 2 s"):
        build_in_subprocess(b"", BuildOptions(), timeout_s=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_subprocess_ends_with_a_killed_caller(tmp_path: Path, root: Path) -> None:
    script = (
        "import os, time, sys\n"
        "from pathlib import Path\n"
        "from runtimes import tensorrt_build_process as process\n"
        "def slow(*_):\n"
        f"    Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "process.build_engine = slow\n"
        "if len(sys.argv) > 1: sys.exit(process._child(Path(sys.argv[1])))\n"
        "process.__name__ = 'caller'\n"
        "from runtimes.tensorrt_options import BuildOptions\n"
        "process.build_in_subprocess(b'', BuildOptions())\n"
    )
    (tmp_path / "caller.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root)))}
    caller = subprocess.Popen([sys.executable, "-m", "caller"], env=environment, cwd=tmp_path)
    try:
        child = int(_wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    assert _wait_for(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its new parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: Any, timeout_s: float = 30) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("timed out")
