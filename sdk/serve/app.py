"""The HTTP service: FastAPI around a `Service`.

No ``from __future__ import annotations`` here: FastAPI reads the annotations of functions that are defined inside
a function, where names of its own package are local.
"""

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from runtimes import EdgewrightError, UsageError
from sdk import __version__
from sdk.serve.batching import ClosedError, DeadlineError, QueueFullError, Work, to_json
from sdk.serve.exchanges import ANSWERED_BY, ExchangeMiddleware
from sdk.serve.options import ServeOptions
from sdk.serve.problems import PROBLEM_TYPE, ProblemError, problem_of
from sdk.serve.requests import (
    FORM_TYPE,
    JSON_TYPE,
    items_of_json,
    media_type,
    read_body,
    require_few,
    takes_bytes,
    unsupported,
)
from sdk.serve.service import Service

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

EXPECTED = (EdgewrightError, ProblemError, QueueFullError, ClosedError, DeadlineError)
"""What handlers raise on purpose; all else is a bug, and logged with its traceback."""


def build_app(service: Service) -> "FastAPI":
    """The routes of a server.

    Args:
        service: Whose models answer; opened and closed by whoever made it.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.exceptions import HTTPException
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError as error:
        raise UsageError("edgewright serve", got="no fastapi installed", expected="the extra 'serve'",
                         fix="Run: pip install 'edgewright[serve,onnx]'.") from error  # fmt: skip

    app = FastAPI(title="Edgewright", version=__version__)
    app.state.service = service
    app.add_middleware(
        ExchangeMiddleware,
        models=service.models,
        observers=(service.metrics.request,),
        begun=service.metrics.begun,
    )

    def refusal(problem: ProblemError) -> Response:
        return Response(problem.body(), problem.status, dict(problem.headers), PROBLEM_TYPE)

    async def expected_error(_: Request, error: Exception) -> Response:
        return refusal(problem_of(error))

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refusal(ProblemError(error.status_code, str(error.detail), error.headers or {}))

    for kind in EXPECTED:
        app.add_exception_handler(kind, expected_error)
    app.add_exception_handler(HTTPException, http_error)

    async def predict(request: Request) -> Response:
        try:
            return Response(await _predicted(service, request), media_type=JSON_TYPE)
        except EXPECTED as error:
            return refusal(problem_of(error))

    app.router.routes.append(Route("/v1/models/{name}:predict", predict, methods=["POST"]))

    async def metrics(request: Request) -> Response:
        service.sample_metrics()
        accepts = request.headers.get("accept", "")
        body, type_ = await asyncio.to_thread(service.metrics.scraped, accepts)
        return Response(body, media_type=type_)

    app.router.routes.append(Route("/metrics", metrics, methods=["GET"]))

    @app.get("/v1/models")
    async def list_models() -> dict[str, list[dict[str, Any]]]:
        """Every model that is served."""
        return {"models": [described(service, name) for name in service.models]}

    @app.get("/v1/models/{name}")
    async def describe_model(name: str) -> dict[str, Any]:
        """One model: its version, its contract and its proof."""
        return described(service, name)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        """Whether it takes requests: not before every model is proved, and not while it shuts down."""
        if not service.ready:
            raise ProblemError(503, "Server: got a request before or after its time, expected it while ready.",
                               {"Retry-After": "1"})  # fmt: skip
        return {"status": "ready"}

    return app


def described(service: Service, name: str) -> dict[str, Any]:
    """What a client may know of a model.

    Raises:
        ProblemError: 404.
    """
    version = service.version(name)
    spec, evidence = version.predictor.spec, version.predictor.manifest.evidence
    return {
        "name": name,
        "version": version.label,
        "opened_utc": version.opened_utc,
        "task": spec.task,
        "runtime": version.predictor.runtime.name,
        "input": spec.input.described(),
        "output": spec.output.described(),
        "evidence": {
            "status": evidence.status,
            "created_utc": evidence.created_utc,
            "precision": evidence.precision,
            "metrics": [
                {"name": metric.name, "value": metric.value, "text": metric.text, "split": metric.split}
                for metric in evidence.metrics
            ],
        },
        "queue": {"waiting": version.batcher.waiting, "most": service.options.batching.max_queue},
    }


async def _predicted(service: Service, request: "Request") -> bytes:
    name = request.path_params["name"]
    kind = service.version(name).predictor.spec.input
    headers = request.headers
    deadline_ms = deadline_of(headers, service.options)
    items = await _items(kind, request, service.options)
    version, answers = await service.answers(name, [Work(item) for item in items], deadline_ms)
    request.scope[ANSWERED_BY] = version.label
    identity = headers.get("x-request-id")
    tail = b"" if identity is None else b',"id":' + to_json(identity)
    results = b",".join([answer.json for answer in answers])
    return b'{"model":%b,"version":"%b","results":[%b]%b}' % (
        to_json(name), version.label.encode(), results, tail,
    )  # fmt: skip


async def _items(kind: Any, request: "Request", options: ServeOptions) -> list[Any]:
    type_ = media_type(request.headers)
    if type_ not in (FORM_TYPE, JSON_TYPE) and not takes_bytes(kind, type_):
        raise unsupported(kind, type_)
    body = await read_body(request.stream(), request.headers, options.max_body_bytes)
    if type_ == JSON_TYPE:
        return items_of_json(kind, body, options.max_items)
    if type_ == FORM_TYPE:
        return await _items_of_form(request, body, options)
    return [body]


async def _items_of_form(request: "Request", body: bytes, options: ServeOptions) -> list[Any]:
    from starlette.exceptions import HTTPException

    request._body = body  # noqa: SLF001 - so that the form is parsed from what was read within bounds
    try:
        form = await request.form(max_files=options.max_items, max_fields=options.max_items)
    except HTTPException as error:
        raise ProblemError(400, f"Form: got one that cannot be read ({error.detail}). Correct it.") from error
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


def deadline_of(headers: Any, options: ServeOptions) -> float:
    """Milliseconds until a request's answer is worth nothing: what it asks for, at most the server's own.

    Raises:
        ProblemError: 400 for what is no positive number.
    """
    asked = headers.get("x-deadline-ms")
    if asked is None:
        return options.deadline_ms
    try:
        wanted = float(asked)
    except ValueError:
        wanted = math.nan
    if not wanted > 0:
        raise ProblemError(400, f"X-Deadline-Ms: got {asked[:40]!r}, expected milliseconds. Correct it.")
    return min(wanted, options.deadline_ms)


@asynccontextmanager
async def opened(service: Service, models: Any) -> Any:
    """Every model open inside of the with-block, and closed without losing an answer behind it."""
    loop = asyncio.get_running_loop()
    try:
        for model in models:
            await loop.run_in_executor(None, service.models.open, model.name, model.path)
        service.ready = True
        sampling = loop.create_task(service.keep_sampling())
        yield service
        sampling.cancel()
    finally:
        service.ready = False
        await loop.run_in_executor(None, service.models.close)
