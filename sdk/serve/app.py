"""The HTTP service: FastAPI around a `Service`.

No ``from __future__ import annotations`` here: FastAPI reads the annotations of functions that are defined
inside a function, where names of its own package are local.
"""

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from sdk import __version__
from sdk.serve.access_log import AccessLog
from sdk.serve.auth import Keys
from sdk.serve.exchanges import ExchangeMiddleware
from sdk.serve.feedback import feedback_route
from sdk.serve.gate import KeyCheck
from sdk.serve.generate_route import Generator
from sdk.serve.metrics import SCRAPE_TYPE
from sdk.serve.oip import infer
from sdk.serve.oip import routes as oip_routes
from sdk.serve.openapi import document
from sdk.serve.predict_route import predict
from sdk.serve.problems import not_ready
from sdk.serve.refusals import add_refusals, guarded
from sdk.serve.service import Service
from sdk.serve.shortcut import Shortcut

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.routing import Route


def build_app(service: Service, keys: Keys | None = None) -> "FastAPI":
    """The routes of a server.

    Args:
        service: Whose models answer; opened and closed by whoever made it.
        keys: Of which a request has to bring one; None: it opens to all.

    Raises:
        UsageError: FastAPI is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.routing import Route
    except ImportError as error:
        raise UsageError("edgewright serve", got="no fastapi installed", expected="the extra 'serve'",
                         fix="Run: pip install 'edgewright[serve,onnx]'.") from error  # fmt: skip

    app = FastAPI(title="Edgewright", version=__version__, redirect_slashes=False)

    predicts, infers = guarded(service, predict), guarded(service, infer)
    shortcuts = (("/v1/models/", ":predict", predicts), ("/v2/models/", "/infer", infers))
    app.add_middleware(Shortcut, routes=shortcuts)  # the innermost
    if keys:
        app.add_middleware(KeyCheck, keys=keys)
    app.add_middleware(
        ExchangeMiddleware,
        models=service.models,
        observers=(service.metrics.request, AccessLog(log_all=service.options.access_log)),
        begun=service.metrics.begun,
    )

    add_refusals(app)
    app.router.routes.extend([
        Route("/v1/models/{name}:predict", predicts, methods=["POST"]),
        Route("/v1/models/{name}:generate", guarded(service, Generator().generate), methods=["POST"]),
        *oip_routes(service, infers),
        _metrics_route(service),
        feedback_route(service),
    ])  # fmt: skip
    _add_plain_routes(app, service)
    app.openapi = lambda: document(service, keyed=bool(keys))
    return app


def _add_plain_routes(app: "FastAPI", service: Service) -> None:
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
            raise not_ready()
        return {"status": "ready"}


def _metrics_route(service: Service) -> "Route":
    from starlette.responses import Response
    from starlette.routing import Route

    async def metrics(_: "Request") -> Response:
        service.sample_metrics()
        body = await asyncio.to_thread(service.metrics.scraped)
        return Response(body, media_type=SCRAPE_TYPE)

    return Route("/metrics", metrics, methods=["GET"])


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


@asynccontextmanager
async def opened(service: Service, models: Any) -> Any:
    """Every model open inside of the with-block, and closed without losing an answer behind it."""
    loop = asyncio.get_running_loop()
    sampling = loop.create_task(service.keep_sampling())
    try:
        await loop.run_in_executor(None, service.open, models)
        service.ready = True
        yield service
    finally:
        service.ready = False
        sampling.cancel()
        await loop.run_in_executor(None, service.close)
