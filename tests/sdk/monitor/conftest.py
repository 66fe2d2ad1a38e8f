"""Fixtures of monitoring."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sdk.monitor.watched import write_watched_artifact


@pytest.fixture(scope="session")
def watched_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The light artifact, with a reference."""
    return write_watched_artifact(tmp_path_factory.mktemp("watched") / "light.onnx")
