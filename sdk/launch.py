"""A fresh process that opens one artifact, answers once, and then predicts in blocks on demand.

What a user waits for when a program starts cannot be measured inside a process that is already warm, and two
artifacts in one process share caches, threads and luck. So cold start, memory and the regression gate are
measured on processes of their own, which this module starts and talks to.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import runtimes
from runtimes import Array, EdgewrightError, EngineError

PATIENCE_S = 300.0
"""Longest wait for an answer beyond the time asked for; torch's import from a cold disk takes long."""
_WORKER = "from sdk.launch_worker import main; main()"


@dataclass(frozen=True)
class Startup:
    """From the start of a process to its first result. Durations in seconds of wall time.

    Attributes:
        cold_start_s: From the moment the process was asked for to its first result, the interpreter's own
            start among it.
        import_s: `from sdk import Predictor`.
        load_s: Reading and checking the file, importing the engine, opening the program.
        first_s: The first prediction.
        rss_bytes: Resident memory at the process's peak so far.
    """

    cold_start_s: float
    import_s: float
    load_s: float
    first_s: float
    rss_bytes: int


class Launch:
    """One fresh process. A context manager; the process ends with it.

    The process starts in the constructor and works on its own: call `startup` to wait for its first result.

    Args:
        path: The artifact.
        items: Files to predict on, in turn; none: the artifact's own golden samples.
        options: Runtime options of `Predictor`, such as ``threads``.
        code: Folder to import `sdk` from, instead of where this process has it from.

    Raises:
        EngineError: The process could not be started, or ended by itself.
        EdgewrightError: Whatever `Predictor` raised there, of the same class.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        items: Sequence[str | os.PathLike[str]] = (),
        options: Mapping[str, Any] | None = None,
        *,
        code: Path | None = None,
    ) -> None:
        self._name = Path(path).name
        request = {
            "path": str(Path(path).absolute()),
            "items": [str(Path(item).absolute()) for item in items],
            "options": dict(options or {}),
        }
        environment = dict(os.environ)
        if code is not None:
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(code), *filter(None, [environment.get("PYTHONPATH")])]
            )
        self._begin = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=code,
        )
        self._startup: Startup | None = None
        self._send(request)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def startup(self) -> Startup:
        """Wait for the first result and say what it took."""
        if self._startup is None:
            answer = self._receive()
            self._startup = Startup(
                # perf_counter is the system's monotonic clock: its origin is the same in every process.
                cold_start_s=answer["first_result_at"] - self._begin,
                import_s=answer["import_s"],
                load_s=answer["load_s"],
                first_s=answer["first_s"],
                rss_bytes=answer["rss_bytes"],
            )
        return self._startup

    def block(self, seconds: float, *, warm_s: float = 0.0, fewest: int = 1) -> Array:
        """Predict for a while, one item at a time.

        Args:
            seconds: How long to time predictions.
            warm_s: How long to predict before, untimed.
            fewest: Predictions to time at least, however long they take.

        Returns:
            float64 (N,): each prediction's duration in seconds.
        """
        self.startup()
        self._send({"seconds": seconds, "warm_s": warm_s, "fewest": fewest})
        return np.asarray(self._receive(seconds + warm_s)["durations_s"], np.float64)

    def yardstick(self) -> float:
        """Seconds that a fixed piece of numpy work took there: how fast this machine is at this moment."""
        self.startup()
        self._send({"yardstick": True})
        return float(self._receive()["yardstick_s"])

    def peak_rss_bytes(self) -> int:
        """Largest resident memory of the process so far."""
        self.startup()
        self._send({"memory": True})
        return int(self._receive()["rss_bytes"])

    def pause(self) -> None:
        """Stop the process where it stands: its spinning engine threads would keep a core from others."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on. Harmless when it is not paused."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the process. It keeps nothing that would need an orderly end."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):  # what it was sent last may still be in the pipe's buffer
            if self._process.stdin:
                self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Launch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def _receive(self, asked_s: float = 0.0) -> dict[str, Any]:
        assert self._process.stdout is not None
        # One line answers one request, so nothing is left in the reader's buffer, and select sees what comes.
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S + asked_s)
        line = self._process.stdout.readline() if ready else b""
        if not ready:
            raise self._silent(asked_s)
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _rebuilt(answer["error"])
        return answer

    def _silent(self, asked_s: float) -> EngineError:
        return EngineError(
            f"Process of {self._name!r}",
            got=f"no answer for {PATIENCE_S + asked_s:.0f} s",
            expected="a prediction",
            fix="Use a smaller model or input, or see what keeps the machine.",
        )

    def _ended(self) -> EngineError:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return EngineError(
            f"Process of {self._name!r}",
            got=f"its end by {how}",
            expected="a prediction",
            fix="Run `edgewright predict` with the same artifact to see what it says.",
        )


def _rebuilt(said: Mapping[str, str]) -> EdgewrightError:
    kind = getattr(runtimes, said["kind"], EngineError)
    return kind(said["subject"], got=said["got"], expected=said["expected"], fix=said["fix"])
