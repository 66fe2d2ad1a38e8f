"""`POST /v1/models/{name}:feedback`: what was true of an answer, said later by whoever found out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdk.serve.batching import to_json
from sdk.serve.problems import PROBLEM_TYPE, ProblemError
from sdk.serve.requests import JSON_TYPE, media_type, parsed, read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from sdk.serve.monitoring import Monitoring
    from sdk.serve.service import Service

MOST = 1000
"""Judgements of one request."""
MOST_BYTES = 1024**2
"""Of their JSON."""
_LONGEST = 200
JUDGEMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": _LONGEST, "description": "of the request"},
        "item": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
        "correct": {"type": "boolean"},
        "label": {"type": "string", "maxLength": _LONGEST, "description": "what would have been right"},
    },
    "required": ["id"],
    "anyOf": [{"required": ["correct"]}, {"required": ["label"]}],
    "additionalProperties": False,
}
FEEDBACK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "feedback": {"type": "array", "items": JUDGEMENT_SCHEMA, "minItems": 1, "maxItems": MOST},
    },
    "required": ["feedback"],
    "additionalProperties": False,
}
"""Of the body, for OpenAPI; `judgements` holds to it."""


def judgements(body: bytes) -> list[dict[str, Any]]:
    """Read a body.

    Returns:
        Rows of the log's table of feedback, without model and time.

    Raises:
        ProblemError: 400 for what is no such JSON, 413 for too many.
    """
    told = parsed(body)
    if not isinstance(told, dict) or set(told) != {"feedback"} or not isinstance(told["feedback"], list):
        raise _malformed("body")
    if len(told["feedback"]) > MOST:
        raise ProblemError(
            413, f"Feedback: got {len(told['feedback'])}, expected at most {MOST}. Send fewer."
        )
    found = {(row["request"], row["item"]): row for row in map(_judgement, told["feedback"])}
    if not found:
        raise _malformed("body")
    return list(found.values())  # of two about the same item, the last


def _judgement(told: Any) -> dict[str, Any]:
    known = {"id", "item", "correct", "label"}
    if not isinstance(told, dict) or not set(told) <= known or not {"correct", "label"} & set(told):
        raise _malformed("entry")
    identity, item, correct, label = (told.get(name) for name in ("id", "item", "correct", "label"))
    item = 0 if "item" not in told else item
    whole = isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**31
    right = "correct" not in told or isinstance(correct, bool)
    if not _word(identity) or not identity or not whole or not right:
        raise _malformed("entry")
    if "label" in told and not _word(label):
        raise _malformed("entry")
    return {"request": identity, "item": item, "correct": correct, "label": label}


def _word(value: Any) -> bool:
    """Whether it is a text that any database takes."""
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def feedback_route(service: Service) -> Route:
    """The route, for Starlette."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def feedback(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            service.version(name)
            if media_type(request.headers) != JSON_TYPE:
                raise ProblemError(415, f"Feedback: got another media type, expected {JSON_TYPE}. Send that.")
            body = await read_body(request.stream(), request.headers, MOST_BYTES)
            return Response(
                to_json(await take_feedback(service.monitoring, name, body)), media_type=JSON_TYPE
            )
        except ProblemError as error:
            return Response(error.body(), error.status, dict(error.headers), PROBLEM_TYPE)

    return Route("/v1/models/{name}:feedback", feedback, methods=["POST"])


async def take_feedback(monitoring: Monitoring | None, model: str, body: bytes) -> dict[str, int]:
    """Store what a body says, without holding up the event loop.

    Raises:
        ProblemError: As `judgements`; 404 where no log is kept; 503 where it cannot be written to.
    """
    if monitoring is None:
        raise ProblemError(404, "Feedback: got some, expected none without a log. Serve with --log.")
    rows: list[Mapping[str, Any]] = [*judgements(body)]
    try:
        await asyncio.to_thread(monitoring.remember, model, rows)
    except Exception as error:
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, SQLAlchemyError):
            raise
        raise ProblemError(503, "Feedback: got it, expected a log that can be written to. Send it again.",
                           {"Retry-After": "5"}) from error  # fmt: skip
    return {"recorded": len(rows)}


def _malformed(what: str) -> ProblemError:
    form = '{"feedback": [{"id": "…", "item": 0, "correct": true or "label": "…"}]}'
    return ProblemError(400, f"Feedback: got a {what} of another form, expected {form}. Correct it.")
