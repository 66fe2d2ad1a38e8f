"""The ExecuTorch shim for tests: the one that is installed, else one compiled for this run of the tests."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from runtimes import EngineMissingError
from runtimes.executorch_build import build_shim
from runtimes.executorch_shim import FOLDER_VARIABLE, find_package, find_shim


@functools.cache
def shim_folder() -> Path:
    """Where a shim for the present source and executorch lies; skips where none can be built."""
    try:
        found = find_shim(find_package())
        if found is None:
            folder = Path(tempfile.mkdtemp(prefix="edgewright-shim-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            found = build_shim(folder)
    except EngineMissingError as error:
        pytest.skip(str(error))
    return found.parent


def use_shim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the runtimes find it."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(shim_folder()))
