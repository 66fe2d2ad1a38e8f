"""A predictor, numbered videos, and a look at what every test leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdk import Predictor
from tests.sdk.stream.numbered import write_video

PATIENCE_S = 20.0
"""Longest wait for what happens at once on an idle machine."""


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold while somebody waits for it."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture(scope="session")
def predictor(light_artifact: Path) -> Iterator[Predictor]:
    with Predictor(light_artifact, threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 numbered frames in an MP4, its index in front."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, range(200), container={"movflags": "+faststart"})


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert eventually(lambda: not set(threading.enumerate()) - before), threading.enumerate()
