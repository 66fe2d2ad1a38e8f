"""Run a function in several processes of this machine, and end all of them when one ends badly.

`torchrun` does it across machines. This does it for a person who says ``--devices 2``: one result, one line
for what went wrong, and nothing left running, whichever process is killed or interrupted.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from runtimes import DeviceError, EdgewrightError

RANK, SIZE, LOCAL_RANK, LOCAL_SIZE = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
"""Environment variables by which `torchrun` too tells a process who it is."""
MEETING = "EDGEWRIGHT_MEETING"
"""Names the file by which processes of one machine find each other; under `torchrun` they meet at a port."""
GRACE_S = 5.0
"""For a process to end by itself when another has failed, and again after it was asked to."""

_SAY, _DONE, _FAILED, _CRASHED = "say", "done", "failed", "crashed"
_INTERRUPTED = 130


class LostContactError(DeviceError):
    """Another process of the run is gone. What ended it is said there."""


Say = Callable[[str], None]
Work = Callable[..., Any]


@dataclass
class _Process:
    """One of the processes, and what it has said.

    Attributes:
        rank: Its number, from 0.
        handle: Of multiprocessing.
        channel: What it sends.
        answer: Kind and contents of its last word: how it ended.
    """

    rank: int
    handle: Any
    channel: Connection
    answer: tuple[str, Any] | None = None
    open: bool = field(default=True)

    @property
    def ended_badly(self) -> bool:
        """Whether it is over without having done its work."""
        kind = self.answer[0] if self.answer is not None else None
        return kind in (_FAILED, _CRASHED) or self.handle.exitcode not in (None, 0)


@dataclass(frozen=True)
class _Seat:
    """Which process one is.

    Attributes:
        rank: Its number, from 0.
        count: Of how many.
        meeting: File by which they find each other.
        talks: Whether somebody listens to it.
    """

    rank: int
    count: int
    meeting: Path
    talks: bool


def run_in_processes(count: int, work: Work, arguments: Sequence[Any], say: Say | None) -> Any:
    """Call ``work(*arguments, say)`` in `count` processes that can reach each other with torch.distributed.

    The environment of each says who it is, as under `torchrun`. Only the first gets a `say`.

    Args:
        count: How many.
        work: A function at the top of a module; its arguments and result must pickle.
        arguments: Of it.
        say: Called here with what the first process has to say; None is silent.

    Returns:
        What the first process's call returned.

    Raises:
        EdgewrightError: What one of them raised, or that one was killed.
        KeyboardInterrupt: This process was interrupted; the others have ended.
        RuntimeError: One failed in a way that is nobody's mistake but ours; its traceback is the message.
    """
    processes: list[_Process] = []
    with TemporaryDirectory(prefix="edgewright-") as folder:
        meeting = Path(folder) / "meeting"
        try:
            for rank in range(count):
                seat = _Seat(rank, count, meeting, talks=say is not None and rank == 0)
                processes.append(_start(seat, work, tuple(arguments)))
            _follow(processes, say)
            if any(process.ended_badly for process in processes):
                _await_end(processes, GRACE_S)
        finally:
            _stop(processes)
    _drain(processes, say)
    return _result(processes)


def _start(seat: _Seat, work: Work, arguments: tuple[Any, ...]) -> _Process:
    context = multiprocessing.get_context("spawn")
    theirs: Connection
    ours, theirs = context.Pipe(duplex=False)
    handle = context.Process(target=_work, args=(seat, theirs, work, arguments))
    with _interrupts_ignored(), _told(_environment(seat)):
        handle.start()
    theirs.close()
    return _Process(seat.rank, handle, ours)


def _follow(processes: list[_Process], say: Say | None) -> None:
    """Pass on what they say, until all have ended or one has ended badly."""
    while True:
        # Before it is seen who has ended: what ends behind this line is seen in `wait`.
        alive = [process for process in processes if process.handle.is_alive()]
        _drain(processes, say)
        if not alive or any(process.ended_badly for process in processes):
            return
        wait([*(p.channel for p in processes if p.open), *(p.handle.sentinel for p in alive)])


def _drain(processes: list[_Process], say: Say | None) -> None:
    for process in processes:
        try:
            while process.open and process.channel.poll():
                kind, contents = process.channel.recv()
                if kind != _SAY:
                    process.answer = (kind, contents)
                elif say is not None:
                    say(contents)
        except (EOFError, OSError):
            process.open = False


def _await_end(processes: list[_Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        process.handle.join(max(0.0, deadline - time.monotonic()))


def _stop(processes: list[_Process]) -> None:
    """Ask those that still run to end, which removes what they were writing; then end them."""
    alive = [process for process in processes if process.handle.is_alive()]
    for process in alive:
        os.kill(process.handle.pid, signal.SIGINT)
    _await_end(alive, GRACE_S)
    for process in alive:
        if process.handle.is_alive():
            process.handle.kill()
            process.handle.join()


def _result(processes: list[_Process]) -> Any:
    """The first one's result, or the error that explains best why there is none."""
    answers = [process.answer for process in processes if process.answer is not None]
    errors = [contents for kind, contents in answers if kind == _FAILED]
    for error in errors:
        if not isinstance(error, LostContactError):
            raise error
    for process in processes:
        if process.answer is None and (process.handle.exitcode or 0) < 0:
            raise _killed(process, len(processes))
    for kind, contents in answers:
        if kind == _CRASHED:
            raise RuntimeError(contents)
    for error in errors:
        raise error
    if answers and answers[0][0] == _DONE and not any(process.ended_badly for process in processes):
        return answers[0][1]
    raise _killed(next(process for process in processes if process.ended_badly), len(processes))


def _killed(process: _Process, count: int) -> EdgewrightError:
    code = process.handle.exitcode
    got = f"exit code {code}"
    if code < 0:
        got = f"killed by {signal.Signals(-code).name}"
    return DeviceError(
        f"Training process {process.rank + 1} of {count}",
        got=got,
        expected="all of them at work to the end",
        fix="Continue the run with --resume; if memory ran out, use a smaller --batch-size.",
    )


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """What is started in the with-block ignores Ctrl-C: it is for this process to answer and end the rest."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _told(names: dict[str, str]) -> Iterator[None]:
    """What is started in the with-block finds these in its environment, from its first import on."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(seat: _Seat, channel: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    """What each process runs."""
    threading.Thread(target=_end_with_parent, args=(seat.meeting.parent,), daemon=True).start()
    # Out of the terminal's group, so that interrupts come from the parent alone; then they count.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say = (lambda line: channel.send((_SAY, line))) if seat.talks else None
    try:
        channel.send((_DONE, work(*arguments, say)))
    except EdgewrightError as error:
        channel.send((_FAILED, error))
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except Exception as error:
        channel.send((_CRASHED, traceback.format_exc()))
        raise SystemExit(1) from error


def _environment(seat: _Seat) -> dict[str, str]:
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    return {
        RANK: str(seat.rank),
        LOCAL_RANK: str(seat.rank),
        SIZE: str(seat.count),
        LOCAL_SIZE: str(seat.count),
        MEETING: str(seat.meeting),
        # Else every process would say on stderr that a network uses all of its weights.
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        # Otherwise gloo asks for the machine's name, which not every machine can resolve.
        **({"GLOO_SOCKET_IFNAME": loopback[0]} if loopback else {}),
    }


def _end_with_parent(folder: Path) -> None:
    """End at once when the parent is gone, however that came about, and clear up after it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(_INTERRUPTED)
