"""Processes of one machine that work together: one answer, one error, and nothing that stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes import DataError, DeviceError
from tests.train.process_work import answer, break_down, die, is_running, refuse, wait_until
from train.processes import run_in_processes

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be ended here sleeps, and does not need seconds to end by itself."""
    monkeypatch.setattr("train.processes.GRACE_S", 0.5)


def test_the_first_answers_and_talks() -> None:
    lines: list[str] = []
    before = dict(os.environ)
    assert run_in_processes(3, answer, (2,), lines.append) == 20
    assert lines == ["at work"]
    assert dict(os.environ) == before


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_any_is_raised_as_itself(rank: int) -> None:
    with pytest.raises(DataError, match=r"Picture red/003\.png: got a damaged image"):
        run_in_processes(2, refuse, (rank,), None)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_ends_the_others(rank: int) -> None:
    with pytest.raises(DeviceError, match=f"process {rank + 1} of 2: got killed by SIGKILL.*--resume"):
        run_in_processes(2, die, (rank,), None)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)process_work\.py.*ZeroDivisionError: a bug"):
        run_in_processes(2, break_down, (), None)


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGINT, True), (signal.SIGKILL, False)], ids=["Ctrl-C", "kill"]
)
def test_nothing_outlives_the_parent(number: signal.Signals, told: bool, tmp_path: Path, root: Path) -> None:
    # A shell that runs tests in the background makes its children deaf to Ctrl-C; this one shall hear it.
    hearing = ["env", "--default-signal=INT"] if sys.platform == "linux" else []
    words = [*hearing, sys.executable, "-m", "tests.train.process_work", str(tmp_path)]
    parent = subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True)
    try:
        assert wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, PATIENCE_S)
        children = [int(path.stem) for path in tmp_path.glob("*.pid")]
        parent.send_signal(number)
        _, said = parent.communicate(timeout=PATIENCE_S)
    finally:
        parent.kill()
        parent.wait()
    assert parent.returncode == (130 if told else -number)
    assert said == ""
    assert wait_until(lambda: not any(map(is_running, children)), PATIENCE_S)
    assert len(list(tmp_path.glob("*.interrupted"))) == (2 if told else 0)
