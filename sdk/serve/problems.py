"""From what went wrong to a status and one line: RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from runtimes import EdgewrightError, EngineError, InputError
from sdk.inputs.image_decode import TooManyPixelsError
from sdk.serve.batching import ClosedError, DeadlineError, QueueFullError, to_json

PROBLEM_TYPE = "application/problem+json"
TITLES = {
    400: "Malformed request",
    401: "No valid API key",
    404: "Not found",
    405: "Method not allowed",
    408: "The request took too long to arrive",
    411: "No length",
    413: "Too large",
    415: "Media type not supported",
    422: "The input cannot be used",
    429: "Too many requests waiting",
    431: "Headers too large",
    500: "The engine failed",
    503: "Not ready",
    504: "Too late",
}
"""Every status that is not a success, and what it is called."""


@dataclass
class ProblemError(Exception):
    """A request that gets no answer.

    Attributes:
        status: One of `TITLES`.
        detail: One line: given, expected, fix.
        headers: Of the response, besides its type.
    """

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The response's body as `PROBLEM_TYPE`; ``error`` is for clients of the Open Inference Protocol."""
        title = TITLES.get(self.status) or HTTPStatus(self.status).phrase
        return to_json({
            "type": "about:blank", "title": title, "status": self.status,
            "detail": self.detail, "error": self.detail,
        })  # fmt: skip


def not_ready() -> ProblemError:
    """The answer of a server that is starting, or ending."""
    return ProblemError(503, "Server: got a request while it starts or ends. Ask again, or another one.",
                        {"Retry-After": "1"})  # fmt: skip


def problem_of(error: BaseException) -> ProblemError:
    """What a client is told of an error; of one that nobody expected, no more than that it happened."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, QueueFullError):
        wait = max(1, math.ceil(error.retry_after_s))
        return ProblemError(429, f"The queue is full. Come back in {wait} s.", {"Retry-After": str(wait)})
    if isinstance(error, DeadlineError):
        return ProblemError(504, "The deadline passed before there was an answer. Ask for fewer at a time.")
    if isinstance(error, ClosedError):
        return ProblemError(503, "The server is shutting down. Ask another one.", {"Retry-After": "1"})
    if isinstance(error, EngineError):
        return ProblemError(500, str(error))
    if isinstance(error, TooManyPixelsError):
        return ProblemError(413, str(error))
    if isinstance(error, InputError):
        return ProblemError(422, str(error))
    if isinstance(error, EdgewrightError):
        return ProblemError(400, str(error))
    return ProblemError(500, "Prediction: got an error inside, expected an answer. Look at the server's log.")
