"""Two replicas on Ray Serve, on this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import UsageError
from sdk.client import Client
from sdk.serve.options import Named, ServeOptions
from sdk.serve.ray_app import ManagedApp, application
from tests.sdk.serve.sockets import picture

ASKED = 30


@pytest.fixture
def ray_serve() -> Iterator[tuple[Any, int]]:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield serve, port
    finally:
        serve.shutdown()
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_two_replicas_answer(light_artifact: Path, ray_serve: tuple[Any, int]) -> None:
    serve, port = ray_serve
    serve.run(application({"light": str(light_artifact), "replicas": "2", "cpus": "0.5"}))
    (deployment,) = serve.status().applications["default"].deployments.values()
    assert deployment.replica_states == {"RUNNING": 2}
    with Client(f"http://127.0.0.1:{port}", deadline_ms=20_000) as client:
        assert client.is_ready()
        levels = np.random.default_rng(1).permutation(ASKED) * 8
        labels = [client.predict("light", picture(int(level))).results[0]["label"] for level in levels]
    assert labels == ["bright" if level > 127 else "dark" for level in levels]


def test_artifact_that_cannot_be_opened_fails_the_start(tmp_path: Path) -> None:
    async def life() -> list[dict[str, str]]:
        told: list[dict[str, str]] = []

        async def receive() -> dict[str, str]:
            return {"type": "lifespan.startup"}

        async def send(message: dict[str, str]) -> None:
            told.append(message)

        app = ManagedApp([Named("gone", tmp_path / "gone.onnx")], ServeOptions())
        await app({"type": "lifespan"}, receive, send)
        return told

    (told,) = asyncio.run(life())
    assert told["type"] == "lifespan.startup.failed"
    assert "gone.onnx" in told["message"]


def test_number_of_replicas_has_to_be_one() -> None:
    with pytest.raises(UsageError, match="expected numbers"):
        application({"light": "light.onnx", "replicas": "many"})
