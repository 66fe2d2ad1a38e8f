"""Options of ONNX Runtime: what is offered, and that none of them changes an answer."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from runtimes import UsageError
from runtimes.onnx_runtime import SPINNING
from sdk import Predictor
from sdk.commands.runtime_options import add_runtime_options, runtime_options

PICTURE = np.arange(784, dtype=np.uint16).reshape(28, 28).astype(np.uint8)


@pytest.mark.parametrize("spinning", sorted(SPINNING))
def test_spinning_is_reported_and_changes_no_answer(light_artifact: Path, spinning: str) -> None:
    with Predictor(light_artifact) as plain, Predictor(light_artifact, spinning=spinning, threads=2) as other:
        assert plain.runtime.report()["spinning"] == "running"
        assert {"spinning": spinning, "threads": 2}.items() <= other.runtime.report().items()
        np.testing.assert_array_equal(plain.predict(PICTURE).scores, other.predict(PICTURE).scores)


def test_spinning_unknown_names_the_known(light_artifact: Path) -> None:
    with pytest.raises(
        UsageError, match=r"Option 'spinning': got 'no', expected one of \['never', 'running'"
    ):
        Predictor(light_artifact, spinning="no")


def test_spinning_on_the_command_line_reaches_the_predictor() -> None:
    parser = argparse.ArgumentParser()
    add_runtime_options(parser)
    assert runtime_options(parser.parse_args(["--spinning", "running"])) == {"spinning": "running"}
    assert runtime_options(parser.parse_args([])) == {}
