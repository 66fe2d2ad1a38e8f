"""From what handlers raise to responses, on the router and past it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from runtimes import EdgewrightError
from sdk.serve.batching import ClosedError, DeadlineError, QueueFullError
from sdk.serve.problems import PROBLEM_TYPE, ProblemError, problem_of
from sdk.serve.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

EXPECTED = (EdgewrightError, ProblemError, QueueFullError, ClosedError, DeadlineError)
"""What handlers raise on purpose; all else is a bug, and logged with its traceback."""
Endpoint = Callable[[Any], Awaitable[Any]]


def refusal(problem: ProblemError) -> Response:
    """The response that says it."""
    from starlette.responses import Response

    return Response(problem.body(), problem.status, dict(problem.headers), PROBLEM_TYPE)


def guarded(service: Service, handler: Callable[[Service, Any], Awaitable[Any]]) -> Endpoint:
    """A route's endpoint, which answers with a problem what its handler raises on purpose.

    Args:
        service: The handler's first argument.
        handler: Takes the request as its second, and gives the response.
    """
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            response: Response = await handler(service, request)
        except ClientDisconnect:  # while its body was still coming: nobody reads this
            return Response(status_code=400)
        except EXPECTED as error:
            return refusal(problem_of(error))
        return response

    return answer


def add_refusals(app: FastAPI) -> None:
    """Let the router answer with problems: what its routes raise, and what it does not know."""
    from starlette.exceptions import HTTPException

    async def expected_error(_: Request, error: Exception) -> Response:
        return refusal(problem_of(error))

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refusal(ProblemError(error.status_code, str(error.detail), error.headers or {}))

    for kind in EXPECTED:
        app.add_exception_handler(kind, expected_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, expected_error)  # `Gate` logs it
