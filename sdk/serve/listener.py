"""A listening socket behind which an application answers, and how it stops without losing a request."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
import time
from email.utils import formatdate
from typing import Any

from sdk.serve.options import ServeOptions
from sdk.serve.protocol import BoundedProtocol, bounded_protocol
from sdk.serve.traffic import Traffic

_LOG = logging.getLogger(__name__)
_HANDSHAKE_S = 10.0
_ACCEPT_AGAIN_S = 1.0
_LOOK_S = 0.02
_SETTLE_S = 0.5
"""How long connections that nobody has asked anything on are kept after the last was accepted."""
BACKLOG = 2048


class Listener:
    """Answers on one socket.

    Args:
        app: An ASGI application.
        options: Bounds.
        tls: Speak HTTPS with this; None: HTTP.

    Raises:
        UsageError: uvicorn is not installed.
    """

    def __init__(self, app: Any, options: ServeOptions, tls: ssl.SSLContext | None = None) -> None:
        self.traffic = Traffic(options.max_body_bytes, options.connections)
        protocol = bounded_protocol(self.traffic)
        import uvicorn
        from uvicorn.server import ServerState

        self._state = ServerState()
        self._tls = tls
        self._handshake: dict[str, Any] = {"ssl_handshake_timeout": _HANDSHAKE_S} if tls else {}
        self._config = uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type, unused-ignore]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=options.connections.idle_s,  # type: ignore[arg-type, unused-ignore]
        )
        self._config.load()
        self._protocol = protocol
        self._taken: set[asyncio.Task[None]] = set()
        self._most_at_once = 1 if options.replicas > 1 else BACKLOG
        self._listening: socket.socket | None = None
        self._clock: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> list[BoundedProtocol]:
        """Those that are open."""
        return list(self._state.connections)

    @property
    def unanswered(self) -> int:
        """Connections with a request that has begun and is not answered."""
        return sum(connection.busy for connection in self.connections)

    async def start(self, bound: socket.socket) -> None:
        """Answer what comes to `bound`, which is closed by `drain`."""
        self._tell_time()
        bound.setblocking(False)
        self._listening = bound
        asyncio.get_running_loop().add_reader(bound, self._accept_some)

    async def drain(self, grace_s: float, most_s: float) -> int:
        """Stop so that every request that was taken is answered.

        For `grace_s` requests are still taken, and every answer asks its client to close the connection. Then
        nothing more is accepted but what waits on the socket already, and the answers that are due are given.

        Args:
            grace_s: For those who send requests to notice.
            most_s: For the answers, after that.

        Returns:
            How many connections had to be closed without an answer.
        """
        self.traffic.draining = True
        if grace_s:
            await asyncio.sleep(grace_s)
        await self._stop_listening()
        until = time.monotonic() + most_s
        settled = time.monotonic() + min(_SETTLE_S, most_s)
        while self._state.connections and time.monotonic() < until:
            late = time.monotonic() >= settled
            for connection in self.connections:
                if late or connection.asked:
                    connection.shutdown()
            await asyncio.sleep(_LOOK_S)
        return self.abort()

    def abort(self) -> int:
        """Close every connection at once; returns on how many an answer was due."""
        self._stop_accepting()
        for taken in self._taken:
            taken.cancel()
        if self._clock is not None:
            self._clock.cancel()
        unanswered = self.unanswered
        for connection in self.connections:
            connection.abort()
        for task in list(self._state.tasks):
            task.cancel()
        return unanswered

    def _connection(self) -> Any:
        return self._protocol(config=self._config, server_state=self._state, app_state={})

    def _accept_some(self) -> None:
        """One at a time where there are other replicas: whoever has less to do is back here first."""
        self._accept(self._most_at_once)

    def _accept(self, most: int = sys.maxsize) -> None:
        """Take connections that wait. The loop's own server forgets some when it is closed."""
        assert self._listening is not None
        loop = asyncio.get_running_loop()
        try:
            for _ in range(most):
                connected = self._listening.accept()[0]
                if len(self._taken) > self.traffic.bounds.most:  # so many are still shaking hands
                    connected.close()
                    continue
                taken = loop.create_task(self._take(connected))
                self._taken.add(taken)
                taken.add_done_callback(self._taken.discard)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError as error:  # no descriptors or no memory: those who wait are taken when there are some
            _LOG.error("not_accepting", extra={"fields": {"reason": error.strerror}})
            loop.remove_reader(self._listening)
            loop.call_later(_ACCEPT_AGAIN_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept_some)

    async def _take(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        # Head and body of an answer are written one after the other: the second is not to wait for the first.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._connection, connected, ssl=self._tls, **self._handshake)
        except (OSError, ssl.SSLError):  # whoever it was speaks no TLS, or has gone
            connected.close()

    async def _stop_listening(self) -> None:
        """Take what the system has accepted for us, and no more."""
        if self._listening is not None:
            self._accept()
            self._stop_accepting()
        if self._taken:
            await asyncio.wait(self._taken)

    def _stop_accepting(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _tell_time(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        self._clock = asyncio.get_running_loop().call_later(1.0, self._tell_time)
