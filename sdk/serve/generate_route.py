"""`POST /v1/models/NAME:generate`: a text as it is written, as server-sent events or whole.

Writing does not go through the queue: every text has options of its own, and takes as long as it is.
Source of the form: the WHATWG's HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtimes import EdgewrightError
from sdk.schemas import COUNT, NUMBER, TEXT, Schema, listed, or_null, record
from sdk.serve.batching import ClosedError, DeadlineError, QueueFullError, to_json
from sdk.serve.exchanges import ANSWERED_BY
from sdk.serve.models import Version
from sdk.serve.predict_route import LARGE_BYTES
from sdk.serve.problems import ProblemError, problem_of
from sdk.serve.requests import JSON_TYPE, deadline_of, media_type, parsed, read_body
from sdk.serve.service import Service

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LOG = logging.getLogger(__name__)
EVENTS_TYPE = "text/event-stream"
MOST_AT_ONCE = 4
"""Texts that are written at the same time; more are told to come back."""
_OPTIONS: dict[str, Schema] = {
    "max_tokens": {**COUNT, "minimum": 1},
    "temperature": {**NUMBER, "minimum": 0},
    "top_k": or_null({**COUNT, "minimum": 1}),
    "top_p": or_null({**NUMBER, "exclusiveMinimum": 0, "maximum": 1}),
    "seed": COUNT,
    "stop": {"anyOf": [TEXT, listed(TEXT, most=16)]},
    "stream": {"type": "boolean"},
}
GENERATE_SCHEMA: Schema = {**record({"prompt": TEXT, **_OPTIONS}), "required": ["prompt"]}
"""Of a request; `_read` and the kind hold to it."""


@dataclass(frozen=True)
class _Asked:
    prompt: str
    options: Mapping[str, Any]
    stream: bool


class Generator:
    """Writes texts in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "generate")
        self._running = 0

    async def generate(self, service: Service, request: Request) -> Response:
        """Answer a request.

        Raises:
            ProblemError, EdgewrightError, …: As `problem_of` takes them.
        """
        from starlette.responses import Response, StreamingResponse

        version = service.version(request.path_params["name"])
        if not version.predictor.spec.output.writes:
            raise _bad(f"Model {version.model!r}", "a language model")
        if media_type(request.headers) != JSON_TYPE:
            raise ProblemError(415, f"Content-Type: got another, expected {JSON_TYPE}. Set the header.")
        deadline_ms = deadline_of(request.headers, service.options)
        body = await read_body(request.stream(), request.headers, service.options.max_body_bytes)
        asked = _read(body) if len(body) <= LARGE_BYTES else await asyncio.to_thread(_read, body)
        request.scope[ANSWERED_BY] = version.label
        until_s = time.monotonic() + deadline_ms / 1000
        try:
            pieces = self._pieces(version, asked, until_s)
            first = await anext(pieces)  # what cannot be written at all has a status of its own
        except ClosedError:  # replaced since
            version = service.version(version.model)
            request.scope[ANSWERED_BY] = version.label
            pieces = self._pieces(version, asked, until_s)
            first = await anext(pieces)
        head = {"model": version.model, "version": version.label}
        if asked.stream:
            events = _events(head, first, pieces)
            return StreamingResponse(events, media_type=EVENTS_TYPE, headers={"Cache-Control": "no-store"})
        last = [first, *[piece async for piece in pieces]][-1]
        identity = request.headers.get("x-request-id")
        more = {} if identity is None else {"id": identity}
        return Response(to_json({**head, "result": last.to_dict(), **more}), media_type=JSON_TYPE)

    async def _pieces(self, version: Version, asked: _Asked, until_s: float) -> AsyncIterator[Any]:
        """Strings as they are written, and at last the result."""
        if self._running >= MOST_AT_ONCE:
            raise QueueFullError(1.0)
        loop, told, stopped = asyncio.get_running_loop(), asyncio.Queue[Any](), threading.Event()

        def tell(what: Any) -> None:
            loop.call_soon_threadsafe(told.put_nowait, what)

        self._running += 1
        writing = loop.run_in_executor(self._threads, _write, version, asked, tell, stopped, until_s)
        writing.add_done_callback(self._done)
        try:
            while True:
                what = await told.get()
                if isinstance(what, Exception):
                    raise what
                yield what
                if not isinstance(what, str):
                    return
        finally:
            stopped.set()

    def _done(self, _: Any) -> None:
        self._running -= 1


def _write(
    version: Version,
    asked: _Asked,
    tell: Callable[[Any], None],
    stopped: threading.Event,
    until_s: float,
) -> None:
    """Write a text in this thread; a model that is replaced meanwhile is closed behind it."""
    try:
        with version.leases.held():
            text = version.predictor.generate(asked.prompt, stream=True, **asked.options)
            for piece in text:
                if stopped.is_set():
                    return
                if time.monotonic() > until_s:
                    raise DeadlineError
                tell(piece)
            tell(text.result)
    except Exception as error:  # noqa: BLE001 - told to whoever waits
        tell(error)


async def _events(head: Mapping[str, Any], first: Any, pieces: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """``data`` with each piece; the event ``done`` with the result, or ``error`` with a problem."""
    try:
        what = first
        while True:
            if not isinstance(what, str):
                yield b"event: done\ndata: %b\n\n" % to_json({**head, "result": what.to_dict()})
                return
            yield b"data: %b\n\n" % to_json({"text": what})
            what = await anext(pieces)
    except Exception as error:  # noqa: BLE001 - the status is out, so that this is the only way to tell
        if not isinstance(error, (EdgewrightError, DeadlineError, ClosedError)):
            _LOG.error("generation_failed", exc_info=error)
        yield b"event: error\ndata: %b\n\n" % problem_of(error).body()
    finally:
        await pieces.aclose()  # type: ignore[attr-defined] # it is a generator


def _read(body: bytes) -> _Asked:
    """Read a request's body.

    Raises:
        ProblemError: 400 for what is none.
    """
    told = parsed(body)
    if not isinstance(told, dict) or not isinstance(told.get("prompt"), str):
        raise _bad("Body", '{"prompt": "…"}')
    unknown = sorted(set(told) - {"prompt", *_OPTIONS})
    if unknown:
        raise ProblemError(
            400, f"Field {unknown[0][:40]!r}: expected one of {sorted(_OPTIONS)}. Leave it out."
        )
    stream, stop = told.get("stream", True), told.get("stop", [])
    if not isinstance(stream, bool) or not isinstance(stop, (str, list)):
        raise ProblemError(
            400, "Fields 'stream' and 'stop': expected true or false, and strings. Correct them."
        )
    return _Asked(told["prompt"], {key: told[key] for key in set(told) - {"prompt", "stream"}}, stream)


def _bad(subject: str, expected: str) -> ProblemError:
    return ProblemError(400, f"{subject}: got another, expected {expected}. Correct the request.")
