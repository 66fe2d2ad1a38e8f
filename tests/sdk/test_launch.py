"""A fresh process that predicts: what it measures, how it fails, and that it never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtimes import ArtifactError, EngineError, InputError
from sdk.launch import Launch

LONGEST_END_S = 10.0


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((28, 28), 200, np.uint8)).save(path)
    return path


def test_startup_adds_up(light_artifact: Path, picture: Path) -> None:
    with Launch(light_artifact, [picture]) as launch:
        startup = launch.startup()

    assert 0 < startup.import_s + startup.load_s + startup.first_s < startup.cold_start_s
    assert startup.rss_bytes > 20e6


def test_block_gives_a_duration_per_prediction(light_artifact: Path, picture: Path) -> None:
    with Launch(light_artifact, [picture]) as launch:
        durations = launch.block(0.0, fewest=7)

        assert durations.shape == (7,) and durations.min() > 0
        assert launch.peak_rss_bytes() >= launch.startup().rss_bytes
        assert launch.yardstick() > 0


def test_block_takes_arrays_saved_by_numpy(light_artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "picture.npy", np.zeros((28, 28), np.uint8))

    with Launch(light_artifact, [tmp_path / "picture.npy"]) as launch:
        assert len(launch.block(0.0, fewest=2)) == 2


def test_paused_process_goes_on_where_it_stood(light_artifact: Path, picture: Path) -> None:
    with Launch(light_artifact, [picture]) as launch:
        launch.startup()
        launch.pause()
        launch.resume()

        assert len(launch.block(0.0, fewest=1)) == 1


def test_error_of_the_process_is_raised_here(light_artifact: Path, tmp_path: Path) -> None:
    with Launch(tmp_path / "none.onnx") as launch, pytest.raises(ArtifactError, match="none.onnx"):
        launch.startup()
    with (
        Launch(light_artifact, [tmp_path / "none.png"]) as launch,
        pytest.raises(InputError, match="none.png"),
    ):
        launch.startup()


def test_killed_process_is_an_engine_error(light_artifact: Path, picture: Path) -> None:
    with Launch(light_artifact, [picture]) as launch:
        launch.startup()
        os.kill(launch.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="signal 9"):
            launch.block(0.0)


def test_process_that_gives_no_answer_is_an_engine_error(
    light_artifact: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Launch(light_artifact, [picture]) as launch:
        launch.startup()
        launch.pause()
        monkeypatch.setattr("sdk.launch.PATIENCE_S", 0.1)
        with pytest.raises(EngineError, match="no answer for 0 s"):
            launch.block(0.0)


def test_paused_process_ends_with_its_killed_owner(light_artifact: Path, picture: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom sdk.launch import Launch\n"
            "launch = Launch(sys.argv[1], [sys.argv[2]])\nlaunch.block(0.0)\nlaunch.pause()\n"
            "print(launch.pid, flush=True)\ntime.sleep(600)",
            str(light_artifact),
            str(picture),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        owner.kill()
    until = time.monotonic() + LONGEST_END_S
    while _is_running(worker) and time.monotonic() < until:
        time.sleep(0.05)

    assert not _is_running(worker)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
