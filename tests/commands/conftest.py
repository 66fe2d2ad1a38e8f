"""What tests of bad input through the command share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.command import main

Refused = Callable[..., str]
"""Runs the command, and gives the one line that it must answer with."""


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run the command, and give the one line that it must answer with."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    def run(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        capfd.readouterr()
        code = main([str(word) for word in words])
        streams = capfd.readouterr()
        assert code == 2, streams
        assert streams.err.startswith("edgewright: "), streams.err
        assert streams.err.count("\n") == 1, streams.err
        assert streams.err.rstrip().endswith("."), "the fix is a sentence"
        assert streams.out == ""
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return streams.err

    return run
