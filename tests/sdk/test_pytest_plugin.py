"""The fixture `latency`, in test sessions of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demos.study_models import write_chain

_TEST = """
import numpy as np
import pytest
from sdk import Predictor

def test_latency(latency):
    picture = np.zeros((28, 28), np.uint8)
    with Predictor({candidate!r}) as predictor:
        latency(predictor, picture).assert_not_slower_than({baseline!r}, budget_s=30)
"""


def _session(folder: Path, candidate: Path, baseline: Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(_TEST.format(candidate=str(candidate), baseline=str(baseline)))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(folder)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_fixture_fails_a_slower_artifact_and_passes_an_equal_one(tmp_path: Path) -> None:
    baseline, same, slower = (write_chain(tmp_path / f"{i}.onnx", n) for i, n in enumerate((40, 40, 80)))

    passed, failed = _session(tmp_path, same, baseline), _session(tmp_path, slower, baseline)

    assert passed.returncode == 0, passed.stdout
    assert failed.returncode == 1
    assert "Regression: 2.onnx against 0.onnx: latency" in failed.stdout


def test_fixture_says_why_nothing_can_be_compared(tmp_path: Path) -> None:
    chain = write_chain(tmp_path / "chain.onnx", 2)
    (tmp_path / "record.json").write_text("{}")

    done = _session(tmp_path, chain, tmp_path / "record.json")

    assert done.returncode == 1
    assert "Recorded baseline 'record.json'" in done.stdout
