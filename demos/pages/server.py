"""Serves a demo on one port until it is interrupted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import gradio as gr
from fastapi import FastAPI

from demos.pages.app import style, theme

LARGEST_UPLOAD = "200mb"
_PATIENCE_S = 1
"""How long ending waits for browsers that still listen."""


def serve(app: gr.Blocks, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, which are raised again once no page is open any more.

    Args:
        app: What `build_app` gave.
        listener: Stays the caller's.
        ready: Called once requests are answered.
    """
    import uvicorn

    class Announcing(uvicorn.Server):
        """Tells when it is ready."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    # "critical": browsers that still listen at the end are cut off, which uvicorn would report as errors.
    options = {"log_level": "critical", "timeout_graceful_shutdown": _PATIENCE_S, "lifespan": "on"}
    server = Announcing(uvicorn.Config(_mounted(app), **options))  # type: ignore[arg-type]
    asyncio.run(server.serve(sockets=[listener]))


def _mounted(app: gr.Blocks) -> FastAPI:
    """What is served: the app without Gradio's extras, so that nothing is kept or offered to programs."""
    outer = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        app,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=LARGEST_UPLOAD,
        theme=theme(),
        css=style(),
    )
    # Gradio 6.31 holds back a client that names a file of this machine in place of an upload only once this
    # is set, which `launch()` does and mounting does not.
    app.has_launched = True
    return outer
