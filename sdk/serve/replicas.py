"""Several server processes behind one listening socket, and the one that watches over them.

The kernel gives each connection to one of the processes that accept on the socket. Their supervisor opens no
model and answers nothing: it starts them, passes signals on, and starts again what dies.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import EdgewrightError, EngineError
from sdk.serve.access_log import log_to_stderr
from sdk.serve.metrics import Metrics
from sdk.serve.options import Named, ServeOptions
from sdk.serve.server import Orders, address_of, answer, run_loop, say, say_serving
from sdk.serve.shared_metrics import forget_replica, shared_metrics

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_HEALTHY_S = 30.0
"""A replica that has lived so long is started again at once when it dies."""
_READY = "ready"


def supervise(models: Sequence[Named], options: ServeOptions, bound: socket.socket) -> int:
    """Serve in `options.replicas` processes until a signal ends them.

    Args:
        models: To open, in each.
        options: Bounds, of each.
        bound: Listening; closed in this process as soon as no replica is to be started any more.

    Returns:
        0, or 1 where a replica left requests unanswered.

    Raises:
        EdgewrightError: The first replica could not start; nothing is left running.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(shared_metrics())
        previous = {name: os.environ.get(name) for name in folder}
        os.environ.update(folder)
        stack.callback(_restore, previous)
        supervisor = _Supervisor(models, options, bound, [Path(value) for value in folder.values()])
        stack.callback(supervisor.kill)
        return supervisor.run()


@dataclass(eq=False)
class _Replica:
    """One process, dead or alive.

    Attributes:
        number: From 0.
        process: None while it is waited for the next start.
        told: It says here that it is ready, or why it is not; it ends when this end is closed.
        started_s: `time.monotonic`.
        pause_s: Before the next start, should it die.
        due_s: When it is to be started, as `time.monotonic`.
        ready: It has opened its models.
    """

    number: int
    process: SpawnProcess | None = None
    told: Connection | None = None
    started_s: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    due_s: float = 0.0
    ready: bool = False


class _Supervisor:
    def __init__(
        self, models: Sequence[Named], options: ServeOptions, bound: socket.socket, folders: Sequence[Path]
    ) -> None:
        self._models, self._options, self._bound = tuple(models), options, bound
        self._folders, self._where = tuple(folders), address_of(bound, options)
        self._replicas = [_Replica(number) for number in range(options.replicas)]
        self._signals: list[int] = []
        self._metrics: Metrics | None = None
        self._ending = False
        self._worst = 0

    def run(self) -> int:
        """Start, watch, end."""
        self._awake, waker = os.pipe()
        os.set_blocking(waker, False)
        handlers = {number: signal.signal(number, self._note) for number in _SIGNALS}
        before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        try:
            self._start_all()
            while any(replica.process or not self._ending for replica in self._replicas):
                self._turn()
            return self._worst
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._awake)
            os.close(waker)

    def kill(self) -> None:
        """End what is left, at once."""
        for replica in self._replicas:
            if replica.process is not None:
                replica.process.kill()
                replica.process.join()
                self._forget(replica)

    def _note(self, number: int, _: Any) -> None:
        self._signals.append(number)

    def _start_all(self) -> None:
        """The first alone: what is wrong with an artifact is said once."""
        self._start(self._replicas[0])
        while not self._replicas[0].ready and not self._ending:
            self._turn()
        for replica in self._replicas[1:]:
            if not self._ending:
                self._start(replica)
        while not all(replica.ready for replica in self._replicas) and not self._ending:
            self._turn()
        if not self._ending:
            say_serving(self._models, f"{self._where} in {len(self._replicas)} processes")

    def _start(self, replica: _Replica) -> None:
        context = multiprocessing.get_context("spawn")
        told, tell = context.Pipe()
        arguments = (self._models, self._options, self._bound, tell)
        replica.process = context.Process(target=_replica, args=arguments, name=f"replica-{replica.number}")
        replica.process.start()
        tell.close()
        replica.told, replica.ready, replica.started_s = told, False, time.monotonic()

    def _turn(self) -> None:
        """Wait for the next thing to happen, and see to it."""
        happened = wait(self._things(), self._start_those_due())
        if self._awake in happened:
            os.read(self._awake, 4096)
        while self._signals:
            self._obey(self._signals.pop(0))
        for replica in self._replicas:
            if replica.told in happened:
                self._hear(replica)
            if replica.process is not None and replica.process.sentinel in happened:
                self._bury(replica)

    def _start_those_due(self) -> float | None:
        """Start again what has rested; returns the seconds until the next is due, None where none is."""
        resting = [replica for replica in self._replicas if replica.process is None and replica.due_s]
        left_s = []
        for replica in resting if not self._ending else []:
            left_s.append(max(0.0, replica.due_s - time.monotonic()))
            if not left_s[-1]:
                self._start(replica)
        return min(left_s, default=None)

    def _things(self) -> list[Any]:
        """What may happen."""
        living = [replica for replica in self._replicas if replica.process is not None]
        ends = [replica.process.sentinel for replica in living if replica.process is not None]
        return [
            self._awake,
            *ends,
            *(replica.told for replica in living if replica.told and not replica.ready),
        ]

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._send(signal.SIGHUP)
        elif not self._ending:
            self._ending = True
            self._bound.close()
            self._send(signal.SIGTERM)
        else:
            say("ended at once.")
            self._worst = 1
            self.kill()

    def _send(self, number: int) -> None:
        for replica in self._replicas:
            if replica.process is not None and replica.process.pid is not None and replica.process.is_alive():
                os.kill(replica.process.pid, number)

    def _hear(self, replica: _Replica) -> None:
        """A replica says that it is ready, or what keeps it from being."""
        assert replica.told is not None
        try:
            said = replica.told.recv()
        except EOFError:
            said = None
        if said == _READY:
            replica.ready = True
            if replica.due_s:
                _LOG.info("replica_ready", extra={"fields": {"replica": replica.number}})
            return
        replica.told.close()
        replica.told = None
        if isinstance(said, EdgewrightError):
            if not any(other.ready for other in self._replicas):
                raise said
            _LOG.error("replica_refused", extra={"fields": {"replica": replica.number, "reason": str(said)}})

    def _bury(self, replica: _Replica) -> None:
        """A replica has ended: by itself, unless all are to."""
        assert replica.process is not None
        replica.process.join()
        code = replica.process.exitcode
        first = not any(other.ready for other in self._replicas)
        self._forget(replica)
        if self._ending:  # one that had not begun yet has no handler of signals either
            self._worst = max(self._worst, int(code not in (0, -signal.SIGTERM)))
            return
        if first:
            raise EngineError("First replica", got=f"its end by {_how(code)}", expected="a server",
                              fix="Run it with --replicas 1 to see what it says.")  # fmt: skip
        lived_s = time.monotonic() - replica.started_s
        longer_s = min(2 * replica.pause_s, _LONGEST_PAUSE_S)
        replica.pause_s = _FIRST_PAUSE_S if lived_s > _HEALTHY_S else longer_s
        replica.due_s = time.monotonic() + replica.pause_s
        fields = {"replica": replica.number, "ended_by": _how(code), "again_in_s": replica.pause_s}
        _LOG.error("replica_ended", extra={"fields": fields})
        self._count_restart()

    def _forget(self, replica: _Replica) -> None:
        if replica.process is not None and replica.process.pid is not None:
            for folder in self._folders:
                forget_replica(folder, replica.process.pid)
        if replica.told is not None:
            replica.told.close()
        replica.process, replica.told, replica.ready = None, None, False

    def _count_restart(self) -> None:
        if self._metrics is None:
            self._metrics = Metrics()
        self._metrics.restarted()


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _replica(models: Sequence[Named], options: ServeOptions, bound: socket.socket, tell: Connection) -> None:
    """One replica's whole life."""
    # A terminal sends Ctrl-C to all of its processes: the supervisor passes it on as what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def main() -> int:
        loop, orders = asyncio.get_running_loop(), Orders(own_process=True)
        orders.listen({signal.SIGTERM: orders.end_in_order, signal.SIGHUP: orders.reload})
        _when_left_alone(tell, lambda: loop.call_soon_threadsafe(orders.end_in_order))
        return await answer(models, options, bound, orders, lambda: tell.send(_READY))

    log_to_stderr()
    try:
        code = run_loop(main())
    except EdgewrightError as error:
        tell.send(error)
        code = error.exit_code
    sys.stderr.flush()
    os._exit(code)  # what an engine's threads still do is of no use to anybody


def _when_left_alone(tell: Connection, end: Callable[[], object]) -> None:
    """Call `end` from a thread when the supervisor is no more: its end of the pipe is closed."""

    def listen() -> None:
        try:
            tell.recv()
        except (EOFError, OSError):
            with suppress(RuntimeError):  # the loop has ended
                end()

    threading.Thread(target=listen, name="supervisor", daemon=True).start()


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"signal {-code}"


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
