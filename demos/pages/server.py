"""Serves a demo on one port until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import gradio as gr

from demos.pages.app import style, theme

LARGEST_UPLOAD = "200mb"
_PATIENCE_S = 1
"""How long ending waits for browsers that still listen."""


def serve(app: gr.Blocks, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: What `build_app` gave.
        listener: Closed at the end.
        ready: Called once requests are answered.
    """
    import uvicorn
    from fastapi import FastAPI

    class Announcing(uvicorn.Server):
        """Tells when it is ready."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    mounted = gr.mount_gradio_app(
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
    server = Announcing(
        uvicorn.Config(mounted, log_level="critical", timeout_graceful_shutdown=_PATIENCE_S, lifespan="on")
    )
    before = signal.signal(signal.SIGTERM, _end)
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        signal.signal(signal.SIGTERM, before)
        listener.close()


def _end(number: int, frame: FrameType | None) -> Any:
    """Uvicorn has shut down by then, and raises the signal again for whoever waited for it."""
    del number, frame
    raise KeyboardInterrupt
