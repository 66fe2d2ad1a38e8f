"""The routes that answer most requests, found by their address alone."""

from __future__ import annotations

from typing import Any

from sdk.serve.refusals import Endpoint


class Shortcut:
    """ASGI middleware that calls a route past the router, whose tries and wrappers cost 20 µs a request.

    What it does not know goes on to the router, which has the same routes: it refuses other methods.

    Args:
        app: What answers all else.
        routes: ``(start, end, handler)``: POSTs to a start, a model's name and an end go to a handler, which
            takes Starlette's request and gives its response.
    """

    def __init__(self, app: Any, routes: tuple[tuple[str, str, Endpoint], ...]) -> None:
        from starlette.requests import Request

        self._app, self._routes, self._request = app, routes, Request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            for start, end, handler in self._routes:
                if path.startswith(start) and path.endswith(end):
                    name = path[len(start) : -len(end)]
                    if name and "/" not in name:
                        scope["path_params"], scope["endpoint"] = {"name": name}, handler
                        response = await handler(self._request(scope, receive))
                        await response(scope, receive, send)
                        return
        await self._app(scope, receive, send)
