"""A stream of any length takes the memory of a few frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk import Predictor
from tests.sdk.stream.numbered import write_video

SETTLED = 1000
FRAMES = 10_000
GROWTH_KIB = 4 * 1024
"""The allocator's own to and fro; 0.8 MiB were measured. Keeping every picture would take 95 MiB,
keeping what is fed to the graph 7 MiB."""


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.slow
def test_memory_stays_flat_over_10000_frames(predictor: Predictor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", range(FRAMES))
    settled = 0
    count = 0

    for frame in predictor.stream(path):
        count += 1
        if frame.index == SETTLED:
            settled = resident_kib()

    assert count == FRAMES
    assert resident_kib() - settled < GROWTH_KIB
