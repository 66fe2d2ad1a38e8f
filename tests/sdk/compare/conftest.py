"""Launch records as a machine with known noise would give them, and artifacts of known cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demos.study_models import write_chain
from sdk.compare.rounds import LaunchRecord

BLOCKS, RUNS = 6, 20
LAUNCH_NOISE, RUN_NOISE = 0.01, 0.05
Launches = Callable[..., list[LaunchRecord]]


@pytest.fixture
def launches() -> Launches:
    """`launches(seed, count, ms)`: launches of about `ms`, each with its own luck."""

    def make(seed: int, count: int, ms: float = 2.0, *, memory_mb: float = 90.0) -> list[LaunchRecord]:
        draw = np.random.default_rng(seed)
        return [_record(draw, ms, memory_mb) for _ in range(count)]

    return make


def _record(draw: np.random.Generator, ms: float, memory_mb: float) -> LaunchRecord:
    typical_s = 1e-3 * ms * np.exp(draw.normal(0, LAUNCH_NOISE))
    blocks = typical_s * (1 + np.abs(draw.normal(0, RUN_NOISE, (BLOCKS, RUNS))))
    return LaunchRecord(
        cold_start_s=0.3 * float(np.exp(draw.normal(0, 0.02))),
        peak_rss_bytes=int(1e6 * memory_mb * np.exp(draw.normal(0, 0.002))),
        blocks_s=tuple(tuple(block) for block in blocks.tolist()),
        yardstick_s=0.01,
    )


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small artifact with a golden sample."""
    return write_chain(tmp_path_factory.mktemp("chain") / "chain.onnx", 4)
