"""The same service on Ray Serve, for more than one machine: Ray starts, places and balances the replicas.

    from ray import serve
    from sdk.serve.ray_app import ray_application

    serve.run(ray_application(["product=product.onnx"], replicas=4))

or, from a shell: ``serve run sdk.serve.ray_app:application product=/models/product.onnx replicas=4``. Every
machine has to find the files under the same path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from runtimes import EdgewrightError, UsageError
from sdk.serve.app import build_app, opened
from sdk.serve.auth import read_keys
from sdk.serve.gate import Gate
from sdk.serve.options import Named, ServeOptions, named
from sdk.serve.service import Service

_CLOSE_S = 20.0


class ManagedApp:
    """An ASGI application that opens its models when its server starts, and closes them when that ends.

    Args:
        models: To serve.
        options: Bounds; where to listen is the server's own matter.
    """

    def __init__(self, models: Sequence[Named], options: ServeOptions) -> None:
        self._models, self._options = list(models), options
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                service = Service(self._options, asyncio.get_running_loop())
                self._app = Gate(build_app(service, read_keys(self._options)))
                await stack.enter_async_context(opened(service, self._models))
            except EdgewrightError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def ray_application(
    models: Sequence[str], options: ServeOptions | None = None, *, replicas: int = 1, cpus: float = 1.0
) -> Any:
    """What `ray.serve.run` takes.

    Args:
        models: ``FILE`` or ``NAME=FILE``, as for `edgewright serve`.
        options: Bounds of each replica. Default: those of `ServeOptions`, and as many threads as `cpus`.
        replicas: Processes, over all machines.
        cpus: That Ray is to reserve for each.

    Raises:
        UsageError: Ray Serve is not installed, or a name is no part of an address.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise UsageError("Ray Serve", got="no ray[serve] installed", expected="the extra 'distributed'",
                         fix="Run: pip install 'edgewright[serve,distributed]'.") from error  # fmt: skip
    wanted = options or ServeOptions(runtime={"threads": max(1, int(cpus))})
    files = named(list(models))

    def build() -> ManagedApp:
        return ManagedApp(files, wanted)

    # Requests have to wait here and not at Ray's proxy, or no batches would form.
    deployment = serve.deployment(
        name="edgewright",
        num_replicas=replicas,
        max_ongoing_requests=wanted.batching.max_queue,
        graceful_shutdown_timeout_s=_CLOSE_S,
        ray_actor_options={"num_cpus": cpus},
    )
    return deployment(serve.ingress(build)()).bind()


def application(arguments: Mapping[str, str]) -> Any:
    """For Ray's command line: ``NAME=FILE`` for each model, and perhaps ``replicas`` and ``cpus``.

    Raises:
        UsageError: As `ray_application`; or a number is none.
    """
    told = dict(arguments)
    numbers = {"replicas": told.pop("replicas", "1"), "cpus": told.pop("cpus", "1")}
    try:
        replicas, cpus = int(numbers["replicas"]), float(numbers["cpus"])
    except ValueError as error:
        raise UsageError("Arguments", got=str(numbers), expected="numbers", fix="Correct them.") from error
    return ray_application([f"{name}={file}" for name, file in told.items()], replicas=replicas, cpus=cpus)
