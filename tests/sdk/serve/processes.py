"""`edgewright serve` as a process of its own, for tests of signals and exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_S = 60.0
"""Longest wait for a start or an end: a loaded machine takes seconds to import what a server needs."""


class Server:
    """A running command.

    Attributes:
        process: The command.
        lines: What it has written to stderr, without line ends.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._some = threading.Condition()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, "serve", "--port", "0", "--threads", "1", *words],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line that has `pattern`, when it comes."""
        with self._some:
            found = self._some.wait_for(lambda: self._found(pattern) or not self._reader.is_alive(), READY_S)
        match = self._found(pattern)
        assert found and match, f"no {pattern!r} in {self.lines}"
        return match

    def place(self) -> tuple[str, int]:
        """Host and port, once it is ready."""
        match = self.wait_for(r"serving .* on https?://([\d.]+):(\d+)")
        return match[1], int(match[2])

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, when it ends."""
        code = self.process.wait(READY_S)
        self._reader.join(READY_S)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _found(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._some:
                self.lines.append(line.rstrip("\n"))
                self._some.notify_all()
        with self._some:
            self._some.notify_all()


_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
from sdk.command import main
if __name__ == "__main__":
    sys.exit(main())
"""


@contextmanager
def command(*words: str | Path) -> Iterator[Server]:
    """Run it, and end it behind the with-block whatever happens."""
    server = Server([str(word) for word in words])
    try:
        yield server
    finally:
        server.kill()


def children(process_id: int) -> set[int]:
    """Processes that a process has started and that still run."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process_id and fields[0] != "Z":
                found.add(int(folder.name))
    return found


def gone(process_ids: set[int]) -> bool:
    """Wait until none of them runs; whether it came to that."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if not any(_runs(number) for number in process_ids):
            return True
        time.sleep(0.02)
    return False


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


SIGNALS = (signal.SIGTERM, signal.SIGINT)
