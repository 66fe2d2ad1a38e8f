"""Each request and its answer as one record, for metrics and the access log."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ANSWERED_BY = "edgewright.answered_by"
"""Where a handler leaves the label of the version that answered, in the request's scope."""
_NO_ANSWER = 500


@dataclass(frozen=True)
class Exchange:
    """A request that was answered, or whose client went away.

    Attributes:
        method: As sent.
        path: As sent; unbounded, so no label of a metric.
        endpoint: Name of the handler; empty where no route matched.
        model: Which served model it concerned; empty where none.
        version: Who answered; empty where it did not come to that.
        status: Of the answer.
        seconds: From the request's head to the last byte of the answer.
        bytes_in: Of the body, as far as it was read.
        bytes_out: Of the answer's body.
        identity: X-Request-Id; empty where there is none.
    """

    method: str
    path: str
    endpoint: str
    model: str
    version: str
    status: int
    seconds: float
    bytes_in: int
    bytes_out: int
    identity: str


ExchangeObserver = Callable[[Exchange], None]


class ExchangeMiddleware:
    """ASGI middleware that tells observers of every request after its answer.

    Args:
        app: What answers.
        models: Names of the models that are served now.
        observers: Each told of each exchange, on the event loop: they must be quick.
        begun: Told of each request's begin with 1 and of its end with -1.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        models: Iterable[str],
        observers: Sequence[ExchangeObserver],
        begun: Callable[[int], None],
    ) -> None:
        self._app, self._models, self._observers, self._begun = app, models, tuple(observers), begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, bytes_in, bytes_out = _NO_ANSWER, 0, 0

        async def watched_receive() -> MutableMapping[str, Any]:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def watched_send(message: MutableMapping[str, Any]) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                bytes_out += len(message.get("body", b""))
            await send(message)

        self._begun(1)
        try:
            await self._app(scope, watched_receive, watched_send)
        finally:
            self._begun(-1)
            exchange = self._exchange(scope, status, time.perf_counter() - started, bytes_in, bytes_out)
            for observer in self._observers:
                observer(exchange)

    def _exchange(self, scope: Scope, status: int, seconds: float, bytes_in: int, bytes_out: int) -> Exchange:
        # Starlette leaves in the scope which route matched and its parameters.
        name = scope.get("path_params", {}).get("name", "")
        identity = next((value for key, value in scope["headers"] if key == b"x-request-id"), b"")
        return Exchange(
            method=scope["method"],
            path=scope["path"],
            endpoint=getattr(scope.get("endpoint"), "__name__", ""),
            model=name if name in self._models else "",
            version=scope.get(ANSWERED_BY, ""),
            status=status,
            seconds=seconds,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            identity=identity.decode("latin-1"),
        )
