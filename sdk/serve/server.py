"""One server process: it answers on a bound socket, opens its models, and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from runtimes import EdgewrightError, UsageError
from sdk.inputs.image_decode import LIMIT
from sdk.serve.access_log import log_to_stderr
from sdk.serve.app import build_app, opened
from sdk.serve.auth import Keys, load_certificate, open_tls, read_keys
from sdk.serve.gate import Gate
from sdk.serve.listener import BACKLOG, Listener
from sdk.serve.options import Named, ServeOptions
from sdk.serve.service import Service
from sdk.serve.watch import Watcher

_LOG = logging.getLogger(__name__)
_LAST_S = 5.0
"""How long a server whose time is up waits for its engines, and for its log to be written."""
_OTHER_FILES = 512
"""Descriptors that a process needs besides its connections."""
_CUT_OFF = 1
"""Exit code of a server that ended with requests unanswered."""


class Orders:
    """What a running server is told from outside; on its event loop alone.

    Args:
        own_process: Whether the process is there for the server alone, and may end with it whatever hangs.
    """

    def __init__(self, *, own_process: bool = False) -> None:
        self.own_process = own_process
        self._end, self._reload = asyncio.Event(), asyncio.Event()
        self.ready = False

    def end(self) -> None:
        """Answer what was taken, and end. Told twice, or before it is ready, the process ends at once."""
        if self._end.is_set() or not self.ready:
            say("ended at once.")
            # Threads may be inside of an engine, and nothing here needs an orderly end.
            os._exit(_CUT_OFF if self._end.is_set() else 0)
        self._end.set()

    def end_in_order(self) -> None:
        """As `end`, and told twice it is no more impatient: whoever watches over this process is."""
        if not self.ready:
            os._exit(0)
        self._end.set()

    def reload(self) -> None:
        """Look now whether models, certificates and keys have changed."""
        self._reload.set()

    def listen(self, signals: dict[int, Callable[[], None]]) -> None:
        """Obey the system's signals, where this is the process's main thread."""
        if threading.current_thread() is threading.main_thread():
            for number, order in signals.items():
                asyncio.get_running_loop().add_signal_handler(number, order)

    async def ended(self) -> None:
        """Wait for `end`."""
        await self._end.wait()

    async def reloads(self, do: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something at every `reload`."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            await do()


class Locks:
    """What a server checks of who asks, and shows of itself.

    Raises:
        UsageError: A file of keys or a certificate cannot be used.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self.keys: Keys = read_keys(options)
        self.tls: ssl.SSLContext | None = open_tls(options.tls)

    def reload(self) -> None:
        """Read the files again; what cannot be used is logged, and changes nothing."""
        try:
            self.keys.replace(read_keys(self._options))
            if self.tls is not None and self._options.tls is not None:
                load_certificate(self.tls, self._options.tls)
        except EdgewrightError as error:
            _LOG.error("reload_refused", extra={"fields": {"reason": str(error)}})


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before models are opened, so that a port in use is known at once.

    Raises:
        UsageError: It cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _no_address(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)  # two processes may bind one address, and only one may listen on it
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise _no_address(host, port, error) from error
    return bound


def serve(models: Sequence[Named], options: ServeOptions) -> int:
    """Serve until a signal ends it; returns the exit code.

    Raises:
        UsageError: The address is taken, keys or a certificate cannot be used, or a package is missing.
        EdgewrightError: A model cannot be opened.
    """
    Locks(options)
    bound = bind(options.host, options.port)
    log_to_stderr()
    _allow_connections(options.connections.most)
    try:
        if options.replicas > 1:
            from sdk.serve.replicas import supervise

            return supervise(models, options, bound)
        return run(models, options, bound)
    finally:
        bound.close()


def run(models: Sequence[Named], options: ServeOptions, bound: socket.socket) -> int:
    """Serve on `bound` in this process, until a signal ends it; returns the exit code.

    Raises:
        EdgewrightError: A model cannot be opened.
    """
    address = address_of(bound, options)

    async def main() -> int:
        orders = Orders(own_process=True)
        orders.listen({signal.SIGTERM: orders.end, signal.SIGINT: orders.end, signal.SIGHUP: orders.reload})
        return await answer(models, options, bound, orders, lambda: say_serving(models, address))

    return run_loop(main())


async def answer(
    models: Sequence[Named],
    options: ServeOptions,
    bound: socket.socket,
    orders: Orders,
    ready: Callable[[], None],
) -> int:
    """Serve until `orders` end it: from the first moment, though with 503 until every model is open. Where
    others share the address, it takes no connection from them before that.

    Args:
        models: To open.
        options: Bounds.
        bound: Listening; closed at the end.
        orders: When to end.
        ready: Called when every model answers.

    Returns:
        0, or 1 where requests were left unanswered.

    Raises:
        EdgewrightError: A model cannot be opened.
    """
    LIMIT.most = options.max_pixels
    locks = Locks(options)
    service = Service(options, asyncio.get_running_loop())
    listener = Listener(Gate(build_app(service, locks.keys)), options, locks.tls)
    listener.traffic.on_refused = service.metrics.refused
    watcher = Watcher(models, service.models, service.metrics.swapped)
    if options.replicas == 1:
        await listener.start(bound)
    tasks = []
    try:
        async with opened(service, models):
            if options.replicas > 1:
                await listener.start(bound)
            tasks = _start_tasks(options, orders, watcher, locks)
            orders.ready = True
            ready()
            await orders.ended()
            service.ready = False
            unanswered = await listener.drain(options.grace_s, options.drain_s)
            if unanswered:
                _LOG.error("ended", extra={"fields": {"unanswered_connections": unanswered}})
                if orders.own_process:
                    await _end_at_last(service)
    finally:
        listener.abort()
        for task in tasks:
            task.cancel()
    return _CUT_OFF if unanswered else 0


async def _end_at_last(service: Service) -> None:
    """End the process, though what it still works on may never be done."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(service.close), _LAST_S)
    os._exit(_CUT_OFF)


def address_of(bound: socket.socket, options: ServeOptions) -> str:
    """Where a server can be reached, as a URL without a path."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if options.tls else 'http'}://{shown}:{port}"


def _allow_connections(most: int) -> None:
    """Let this process, and those it starts, open as many descriptors as so many connections need."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * most + _OTHER_FILES
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def say_serving(models: Sequence[Named], where: str) -> None:
    """The line that whoever starts a server may wait for."""
    say(f"serving {', '.join(model.name for model in models)} on {where}")


def say(line: str) -> None:
    """A line for people, on stderr."""
    print(f"edgewright: {line}", file=sys.stderr, flush=True)


def _start_tasks(
    options: ServeOptions, orders: Orders, watcher: Watcher, locks: Locks
) -> list[asyncio.Task[None]]:
    async def reload() -> None:
        locks.reload()
        await watcher.look()

    jobs = [orders.reloads(reload)]
    if options.watch_s is not None:
        jobs.append(watcher.keep_looking(options.watch_s))
    return [asyncio.get_running_loop().create_task(job) for job in jobs]


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """As `asyncio.run`, which takes no other kind of loop before Python 3.12."""
    try:
        import uvloop

        loop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    try:
        return int(loop.run_until_complete(main))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _no_address(host: str, port: int, error: OSError) -> UsageError:
    return UsageError("Address", got=f"{host}:{port} ({error.strerror})", expected="one that is free",
                      fix="Choose another --host or --port.")  # fmt: skip
