"""A listening socket behind which an application answers, and how it stops without losing a request."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from sdk.serve.options import ServeOptions
from sdk.serve.protocol import BoundedProtocol, Traffic, bounded_protocol

_HANDSHAKE_S = 10.0
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
        self._server: Any = None
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
        loop = asyncio.get_running_loop()
        self._tell_time()
        self._listening = bound.dup()
        self._server = await loop.create_server(
            self._connection, sock=bound, ssl=self._tls, backlog=BACKLOG, **self._handshake
        )

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
        if self._server is not None:
            self._server.close()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
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

    async def _stop_listening(self) -> None:
        """Accept what the system has accepted for us, and no more."""
        listening = self._listening
        if listening is None:
            return
        self._server.close()  # of the two descriptors of one socket, this is the loop's
        listening.setblocking(False)
        waiting = []
        with suppress(OSError):  # nothing waits any more
            while True:
                waiting.append(listening.accept()[0])
        listening.close()
        self._listening = None
        await asyncio.gather(*map(self._take, waiting), return_exceptions=True)

    async def _take(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._connection, connected, ssl=self._tls, **self._handshake)

    def _tell_time(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        self._clock = asyncio.get_running_loop().call_later(1.0, self._tell_time)
