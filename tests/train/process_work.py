"""What tests run in several processes: at the top of a module, so that these find it, and without torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runtimes import DataError

Say = Callable[[str], None]


def _rank() -> int:
    return int(os.environ["RANK"])


def answer(factor: int, say: Say | None) -> int:
    """A line, and a number that depends on who one is."""
    if say is not None:
        say("at work")
    return factor * (10 + _rank())


def refuse(rank: int, _say: Say | None) -> None:
    """One raises; the others would go on for a minute."""
    if _rank() == rank:
        raise DataError(
            "Picture red/003.png", got="a damaged image", expected="a whole one", fix="Replace it."
        )
    time.sleep(60)


def break_down(_say: Say | None) -> None:
    """One has a bug."""
    if _rank() == 1:
        raise ZeroDivisionError("a bug")
    time.sleep(60)


def die(rank: int, _say: Say | None) -> None:
    """One is killed, as by a system that ran out of memory."""
    if _rank() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def stay(folder: Path, _say: Say | None) -> None:
    """Say who one is in a file; then do not end, and write that one was interrupted."""
    (folder / f"{os.getpid()}.pid").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"{os.getpid()}.interrupted").touch()
        raise


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    words = ["ps", "-A", "-o", "pid=,ppid="]
    pairs = [line.split() for line in subprocess.check_output(words, text=True).splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether there is such a process that is more than a finished one's remains."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(found) and not found.startswith("Z")


if __name__ == "__main__":
    from train.processes import run_in_processes

    try:
        run_in_processes(2, stay, (Path(sys.argv[1]),), None)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
