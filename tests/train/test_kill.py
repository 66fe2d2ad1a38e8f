"""A run that is killed outright, and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sdk.artifact import read_artifact

EPOCHS = 4
PATIENCE_S = 120


def _command(data: Path, out: Path, *more: str) -> list[str]:
    options = [
        "--epochs",
        str(EPOCHS),
        "--batch-size",
        "4",
        "--image-size",
        "16",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    return [
        sys.executable,
        "-m",
        "sdk.command",
        "train",
        "product",
        "--data",
        str(data),
        "--out",
        str(out),
        *options,
        *more,
    ]


def _kill_in_the_middle_of_an_epoch(command: list[str], out: Path, root: Path) -> None:
    """Kill once the second epoch's line was printed and the third has begun."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(f"epoch 2/{EPOCHS}"):
            break
    # The line comes before the epoch's checkpoint: wait until that is on disk.
    checkpoint = out / "checkpoints" / "last.safetensors"
    deadline, size = time.monotonic() + PATIENCE_S, checkpoint.stat().st_mtime_ns
    while checkpoint.stat().st_mtime_ns == size and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, "".join(seen)


def test_killed_run_resumes_to_the_same_epoch_count(colour_folder: Path, tmp_path: Path, root: Path) -> None:
    out = tmp_path / "run"
    _kill_in_the_middle_of_an_epoch(_command(colour_folder, out), out, root)
    assert not (out / "product.safetensors").exists()
    done = subprocess.run(
        _command(colour_folder, out, "--resume"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert f"epoch 1/{EPOCHS}" not in done.stdout
    assert f"epoch {EPOCHS}/{EPOCHS}" in done.stdout
    history = json.loads((out / "metrics.json").read_text())["history"]
    assert [entry["epoch"] for entry in history] == list(range(1, EPOCHS + 1))
    assert read_artifact(out / "product.safetensors").spec.name == "product"
    assert not list(out.rglob("*.part"))
