"""ONNX Runtime keeps its events to itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPEN = "import sys; from sdk import Predictor; Predictor(sys.argv[1]).close()"


@pytest.mark.parametrize("said", [None, "0"], ids=["by_default", "unless_asked_for"])
def test_onnx_runtime_writes_no_events_into_the_home_folder(
    light_artifact: Path, tmp_path: Path, root: Path, said: str | None
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    asked = {} if said is None else {"ORT_DISABLE_TELEMETRY": said}
    kept.update(HOME=str(tmp_path), PYTHONPATH=str(root), **asked)

    subprocess.run([sys.executable, "-c", OPEN, str(light_artifact)], env=kept, check=True, timeout=60)

    written = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    if said is None:
        assert written == []
    elif not written:
        pytest.skip("this ONNX Runtime writes no events at all")
