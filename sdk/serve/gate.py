"""What every request passes before any route: it gets a name, and its key is asked for."""

from __future__ import annotations

import itertools
import logging
import secrets
from typing import Any

from sdk.serve.auth import Keys
from sdk.serve.problems import PROBLEM_TYPE, ProblemError, problem_of

_LOG = logging.getLogger(__name__)
_OPEN_PATHS = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
"""What whoever starts and balances servers asks without a key."""
_LONGEST_ID = 128
_ID_HEADER = b"x-request-id"
_BAD_ID = ProblemError(
    400, f"X-Request-Id: got another, expected up to {_LONGEST_ID} printable ASCII characters. Shorten it."
)
_NO_KEY = ProblemError(
    401,
    "API key: got none that is known, expected Authorization: Bearer KEY. Ask who runs the server for one.",
    {"WWW-Authenticate": "Bearer"},
)


class Gate:
    """The outermost ASGI application: every request has an X-Request-Id, its own or one made here, and every
    answer repeats it; an error that nobody expected is logged and answered.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._start, self._numbers = secrets.token_hex(6), itertools.count(1)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        identity = next((value for name, value in scope["headers"] if name == _ID_HEADER), None)
        allowed = identity is None or _is_plain(identity)
        if identity is None or not allowed:
            identity = f"{self._start}-{next(self._numbers)}".encode()
            scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != _ID_HEADER),
                                (_ID_HEADER, identity)]  # fmt: skip
        begun = False

        async def answer(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), (_ID_HEADER, identity)]
            await send(message)

        try:
            if allowed:
                await self._app(scope, receive, answer)
            else:
                await refuse(_BAD_ID, answer)
        except Exception as error:  # noqa: BLE001 - a bug, and its client gets an answer
            _LOG.error("request_failed", exc_info=error, extra={"fields": {"id": identity.decode()}})
            if not begun:
                await refuse(problem_of(error), answer)


class KeyCheck:
    """ASGI middleware that asks for an API key.

    Args:
        app: What answers to those who have one.
        keys: Of which a request has to bring one.
    """

    def __init__(self, app: Any, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or self._keys.open_for(scope["headers"]):
            await self._app(scope, receive, send)
        else:
            await refuse(_NO_KEY, send)


async def refuse(problem: ProblemError, send: Any) -> None:
    """Answer a request with a problem, below all frameworks."""
    body = problem.body()
    headers = {**problem.headers, "Content-Type": PROBLEM_TYPE, "Content-Length": str(len(body))}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _is_plain(identity: bytes) -> bool:
    return 0 < len(identity) <= _LONGEST_ID and identity.isascii() and identity.decode().isprintable()
