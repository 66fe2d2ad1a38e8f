"""What tests of every room share."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from tests.light_artifact import write_light_artifact

# Before torch is imported: its threads would spin while they wait, against whatever else runs here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = "test_docs.py"
"""Runs every command of the documentation, the quickstart among them."""


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project: `$EDGEWRIGHT_DATA`, else `../shared/data`."""
    folder = Path(os.environ.get("EDGEWRIGHT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set EDGEWRIGHT_DATA to a folder that holds fashion-mnist/")
    return folder


@pytest.fixture(scope="session")
def light_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `.onnx` artifact that tells ``bright`` pictures from ``dark`` ones and needs no training."""
    return write_light_artifact(tmp_path_factory.mktemp("light") / "light.onnx")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; begin with the longest file, so that a worker that gets it
    does not work on alone when all others are done.
    """
    items.sort(key=lambda item: item.path.name != LONGEST_FILE)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_nvidia_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))


def _has_nvidia_gpu() -> bool:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
