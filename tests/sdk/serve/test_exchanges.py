"""Every request is told of once, with what its answer was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sdk.serve.exchanges import ANSWERED_BY, Exchange, ExchangeMiddleware


async def predict(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads a body in two parts and answers in two."""
    while (await receive())["more_body"]:
        pass
    scope.update({"endpoint": predict, "path_params": {"name": "shop"}, ANSWERED_BY: "aa"})
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"four"})


async def fail(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError


def told(app: Any, models: tuple[str, ...] = ("shop",), **scope: Any) -> tuple[list[Exchange], list[int]]:
    """What observers hear of one request."""
    heard: list[Exchange] = []
    begun: list[int] = []
    parts = iter([
        {"type": "http.request", "body": b"12345", "more_body": True},
        {"type": "http.request", "body": b"67", "more_body": False},
    ])  # fmt: skip

    async def receive() -> Any:
        return next(parts)

    async def send(_: Any) -> None:
        assert heard == []

    whole = {"type": "http", "method": "POST", "path": "/x", "headers": [], **scope}
    middleware = ExchangeMiddleware(app, models, [heard.append], begun.append)
    asyncio.run(middleware(whole, receive, send))
    return heard, begun


def test_exchange_holds_what_was_asked_and_answered() -> None:
    (heard,), begun = told(predict, headers=[(b"x-request-id", b"seven")])

    assert (heard.method, heard.path, heard.endpoint) == ("POST", "/x", "predict")
    assert (heard.model, heard.version, heard.status) == ("shop", "aa", 201)
    assert (heard.bytes_in, heard.bytes_out, heard.identity) == (7, 7, "seven")
    assert 0 < heard.seconds < 10
    assert begun == [1, -1]


def test_model_that_is_not_served_is_not_named() -> None:
    (heard,), _ = told(predict, models=("other",))

    assert heard.model == ""


def test_request_that_failed_inside_counts_as_500_and_has_ended() -> None:
    heard: list[Exchange] = []
    begun: list[int] = []
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ExchangeMiddleware(fail, (), [heard.append], begun.append)(scope, None, None))  # type: ignore[arg-type]

    assert [exchange.status for exchange in heard] == [500]
    assert begun == [1, -1]


def test_what_is_no_request_is_passed_on_unseen() -> None:
    heard, begun = told(lambda *_: asyncio.sleep(0), type="lifespan")

    assert (heard, begun) == ([], [])
