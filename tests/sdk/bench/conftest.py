"""Benchmarks that take no time: short warm-ups, no idle wait, artifacts without an engine."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sdk.artifact import GoldenSample, write_artifact
from sdk.bench import BenchOptions, run, warm_up
from sdk.bench.figures import ColdStart, Energy, Latency, Phases, Spread
from sdk.bench.record import BENCH_FORMAT, BENCH_VERSION, MEASURED, NOT_RUN, BenchReport, BenchRun
from sdk.bench.warm_up import WarmUp
from tests.sdk.conftest import ROWS, fake_payload, make_manifest, make_spec, picture

QUICK = BenchOptions(seconds=0.02, max_seconds=0.05, launches=0)
"""Too short to mean anything, long enough to run every line."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "WINDOW_S", 0.002)
    monkeypatch.setattr(run, "TURN_WARM_UP_S", 0.002)
    monkeypatch.setattr(run, "IDLE_S", 0.01)


def encoded(row: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(row)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def golden_artifact(tmp_path: Path) -> Path:
    """A `.fake` artifact with three golden samples."""
    samples = tuple(
        GoldenSample.of(encoded(row), {"scores": np.asarray(ROWS[row], np.float32)}) for row in range(3)
    )
    path = tmp_path / "product.fake"
    write_artifact(path, fake_payload(), make_manifest(make_spec(), samples))
    return path


def make_latency(median_ms: float = 1.0, count: int = 2000, seed: int = 0) -> Latency:
    """A long-tailed sample."""
    return Latency.of(1e-3 * median_ms * np.random.default_rng(seed).lognormal(0, 0.3, count))


def make_run(name: str = "product.onnx", **changes: object) -> BenchRun:
    """A complete run, nothing of it measured."""
    spread = Spread(0.3, 0.25, 0.4)
    plain = BenchRun(
        file=name,
        engine="onnxruntime",
        sha256="0" * 64,
        size_bytes=1_940_000,
        task="product",
        scenario="single-stream",
        status=MEASURED,
        reason=None,
        batch=1,
        items=2000,
        throughput_per_s=950.0,
        tokens_per_s=None,
        given_up=0,
        latency=make_latency(),
        warm_up=WarmUp(0.5, 400, stable=True),
        phases=Phases(
            0.1, 0.8, 0.1, 1.0, 300, {"host_to_device": 0.1, "compute": 0.5, "device_to_host": 0.1}
        ),
        cold_start=ColdStart(3, spread, spread, spread, spread, Spread(80e6, 79e6, 81e6)),
        cold_start_note=None,
        energy=Energy("RAPL package-0", 0.02, 0.012, 19.0, 7.0),
        clock={"throttled": False, "reason": "the clock held", "temperature_max_c": 51.0},
        runtime={"engine": "onnxruntime", "threads": 2},
        layers=None,
        layers_note="not asked for",
        accuracy=None,
    )
    return replace_all(plain, changes)


def make_report(*runs: BenchRun) -> BenchReport:
    """A report of these runs, by default of one that was measured and one that was not."""
    other = make_run(
        "product.trt",
        engine="tensorrt",
        status=NOT_RUN,
        reason="no GPU",
        latency=None,
        phases=None,
        cold_start=None,
        energy=None,
        clock=None,
        warm_up=None,
    )
    machine = {
        "name": "A board",
        "architecture": "aarch64",
        "cpu": {"model": "A core", "cores": 4, "usable_cores": 4, "governor": "performance"},
        "memory_bytes": 8_000_000_000,
        "system": "A system",
        "kernel": "6.1",
        "jetson": None,
        "gpus": [],
    }
    return BenchReport(
        format=BENCH_FORMAT,
        version=BENCH_VERSION,
        created_utc="2026-01-01T00:00:00+00:00",
        options=BenchOptions(),
        inputs="golden samples",
        machine_class="aarch64 | A board | 4 cores",
        machine=machine,
        versions={"numpy": "2.4"},
        runs=runs or (make_run(), other),
    )


def replace_all(record: BenchRun, changes: dict[str, object]) -> BenchRun:
    from dataclasses import replace

    return replace(record, **changes)  # type: ignore[arg-type]


def stub_predictor(predict: object, batch_size: int = 4, *, writes: bool = False) -> SimpleNamespace:
    """What a scenario needs of a predictor."""
    spec = SimpleNamespace(output=SimpleNamespace(writes=writes))
    return SimpleNamespace(predict=predict, batch_size=batch_size, spec=spec)
