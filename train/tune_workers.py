"""Who works on a trial, and whether that process still lives.

A process signs the trials it works on and counts up a number in them every few seconds. Who looks at a trial
of this very machine asks the system whether its process lives; of any other, whether the number still moves.
Nobody's clock is compared with anybody else's.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

BEAT_S = 5.0
WORKER, BEAT = "worker", "beat"
_STAT_STATE, _STAT_START = 0, 19
"""Where they stand in ``/proc/PID/stat`` behind the command's name (proc_pid_stat(5))."""


def signature() -> dict[str, Any]:
    """Who this process is: JSON data that no other process has at the same time."""
    pid = os.getpid()
    return {"place": _place(), "pid": pid, "started": _started(pid)}


def is_here(worker: Any) -> bool:
    """Whether a signature is of this machine, so that it can be asked about."""
    return isinstance(worker, dict) and worker.get("place") == _place() and worker.get("started") is not None


def has_died(worker: Any) -> bool:
    """Whether the process of a signature is of this machine and gone."""
    return is_here(worker) and _started(worker["pid"]) != worker["started"]


class Watchman:
    """Notices trials whose number has stopped.

    Args:
        patience_s: How long it must have stood still.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_lost(self, number: int, attributes: dict[str, Any]) -> bool:
        """Whether nobody works on a trial any more.

        Args:
            number: Of the trial.
            attributes: What its process has said in it.
        """
        if has_died(attributes.get(WORKER)):
            return True
        heard, now = (attributes.get(WORKER), attributes.get(BEAT)), time.monotonic()
        last, since = self._seen.setdefault(number, (heard, now))
        if heard != last:
            self._seen[number] = heard, now
            return False
        return now - since > self._patience_s


class Heartbeat:
    """Counts up in the background for the length of a with-block.

    Args:
        beat: Called with 1, 2, 3 …; what it raises ends the counting, and is kept.
    """

    def __init__(self, beat: Callable[[int], None]) -> None:
        self._beat = beat
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(BEAT_S):
            number += 1
            try:
                self._beat(number)
            except Exception as error:  # noqa: BLE001 - any of a database's; the trial itself will meet it too
                self.failure = error
                return


@lru_cache(maxsize=1)
def _place() -> str:
    """This machine since it was started, and the part of it whose process numbers are ours."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        numbers = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        boot, numbers = "", 0
    return f"{socket.gethostname()} {boot} {numbers}"


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where there is none, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STAT_STATE] in ("Z", "X") else int(fields[_STAT_START])
