"""One server process: models opened and proved, then uvicorn on a socket that is already bound."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence

from runtimes import UsageError
from sdk.serve.app import build_app, opened
from sdk.serve.options import Named, ServeOptions
from sdk.serve.service import Service


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before models are opened, so that a port in use is known at once.

    Raises:
        UsageError: It cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _no_address(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _no_address(host, port, error) from error
    return bound


def serve(models: Sequence[Named], options: ServeOptions) -> int:
    """Serve until a signal ends it; returns the exit code.

    Raises:
        UsageError: The address is taken, or a package is missing.
        EdgewrightError: A model cannot be opened.
    """
    bound = bind(options.host, options.port)
    try:
        return asyncio.run(_serve(models, options, bound))
    finally:
        bound.close()


async def _serve(models: Sequence[Named], options: ServeOptions, bound: socket.socket) -> int:
    service = Service(options, asyncio.get_running_loop())
    app = build_app(service)
    import uvicorn

    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=30)
    server = uvicorn.Server(config)
    async with opened(service, models):
        host, port = bound.getsockname()[:2]
        print(f"edgewright: serving {', '.join(service.models)} on http://{host}:{port}", file=sys.stderr)
        await server.serve(sockets=[bound])
    return 0


def _no_address(host: str, port: int, error: OSError) -> UsageError:
    return UsageError("Address", got=f"{host}:{port} ({error.strerror})", expected="one that is free",
                      fix="Choose another --host or --port.")  # fmt: skip
