"""`POST /v1/models/NAME:predict`: items in, typed results out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from sdk.serve.batching import Work, to_json
from sdk.serve.exchanges import ANSWERED_BY
from sdk.serve.options import ServeOptions
from sdk.serve.problems import ProblemError
from sdk.serve.requests import (
    FORM_TYPE,
    JSON_TYPE,
    deadline_of,
    items_of_json,
    media_type,
    read_body,
    require_few,
    takes_bytes,
    unsupported,
)
from sdk.serve.service import Service

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LARGE_BYTES = 1 << 16
"""JSON that is longer is parsed beside the event loop, which it would hold up."""


async def predict(service: Service, request: Request) -> Response:
    """Answer a request.

    Raises:
        ProblemError, EdgewrightError, …: As `problem_of` takes them.
    """
    from starlette.responses import Response

    return Response(await _predicted(service, request), media_type=JSON_TYPE)


async def _predicted(service: Service, request: Request) -> bytes:
    name = request.path_params["name"]
    kind = service.version(name).predictor.spec.input
    headers = request.headers
    deadline_ms = deadline_of(headers, service.options)
    items = await _items(kind, request, service.options)
    caller = service.caller(headers)
    version, answers = await service.answers(name, [Work(item) for item in items], deadline_ms, caller)
    request.scope[ANSWERED_BY] = version.label
    identity = headers.get("x-request-id")
    tail = b"" if identity is None else b',"id":' + to_json(identity)
    results = b",".join([answer.json for answer in answers])
    return b'{"model":%b,"version":"%b","results":[%b]%b}' % (
        to_json(name), version.label.encode(), results, tail,
    )  # fmt: skip


async def _items(kind: Any, request: Request, options: ServeOptions) -> list[Any]:
    type_ = media_type(request.headers)
    if type_ not in (FORM_TYPE, JSON_TYPE) and not takes_bytes(kind, type_):
        raise unsupported(kind, type_)
    body = await read_body(request.stream(), request.headers, options.max_body_bytes)
    if type_ == JSON_TYPE:
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(items_of_json, kind, body, options.max_items)
        return items_of_json(kind, body, options.max_items)
    if type_ == FORM_TYPE:
        return await _items_of_form(request, body, options)
    return [body]


async def _items_of_form(request: Request, body: bytes, options: ServeOptions) -> list[Any]:
    from starlette.formparsers import MultiPartException, MultiPartParser

    most = options.max_items
    parser = MultiPartParser(
        request.headers, _once(body), max_files=most, max_fields=most, max_part_size=options.max_body_bytes
    )
    parser.spool_max_size = options.max_body_bytes  # else larger parts go to a disk that may not be writable
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(
            400, f"Form: got one that cannot be read ({error.message}). Correct it."
        ) from error
    try:
        items = [
            value.encode() if isinstance(value, str) else await value.read()
            for _, value in form.multi_items()
        ]
    finally:
        await form.close()
    if not items:
        raise ProblemError(400, "Form: got no parts, expected one per item. Add a file.")
    require_few(len(items), options.max_items)
    return items


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
