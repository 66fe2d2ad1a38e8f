"""Whole benchmarks of artifacts that need no engine: turns, verdicts, and what cannot run here."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import InputError, UsageError
from runtimes.fake_runtime import FakeRuntime
from sdk import Predictor
from sdk.artifact import write_artifact
from sdk.bench import BenchOptions, BenchReport, benchmark, run
from sdk.bench.record import MEASURED, NOT_RUN, VOID
from sdk.machine.clocks import ClockVerdict
from tests.runtimes.tensorrt_stand_in import make_plan
from tests.sdk.bench.conftest import QUICK
from tests.sdk.conftest import make_manifest, make_spec, picture


@pytest.fixture
def engine_elsewhere(tmp_path: Path) -> Path:
    """A `.trt` artifact that no TensorRT takes: it needs a GPU, and would be refused with one."""
    write_artifact(tmp_path / "product.trt", make_plan(), make_manifest(make_spec()))
    return tmp_path / "product.trt"


class _Watch:
    """A clock watch that has made up its mind."""

    def __init__(self, verdict: ClockVerdict) -> None:
        self._verdict = verdict

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None: ...

    def verdict(self) -> ClockVerdict:
        return self._verdict


class _Meter:
    """Ten watts while it is open."""

    source = "a meter"

    def __enter__(self) -> _Meter:
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None: ...

    def joules(self) -> float:
        return 10 * (time.perf_counter() - self._begin)


def test_benchmark_measures_on_golden_samples(golden_artifact: Path) -> None:
    report = benchmark([golden_artifact], QUICK)
    (found,) = report.runs

    assert (found.file, found.engine, found.status, found.reason) == ("product.fake", "fake", MEASURED, None)
    assert found.latency is not None
    assert found.latency.count == found.items >= 1
    assert found.phases is not None
    assert found.phases.device_ms is None
    assert found.throughput_per_s is not None
    assert report.inputs == "golden samples of each artifact"
    assert report.machine["architecture"] in report.machine_class
    assert BenchReport.from_json(report.dumps()) == report


def test_benchmark_takes_turns_and_keeps_the_order_given(golden_artifact: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(golden_artifact, tmp_path / "other.fake"))
    said: list[str] = []
    options = replace(QUICK, seconds=0.1, max_seconds=0.1)

    report = benchmark([other, golden_artifact], options, progress=lambda text, _: said.append(text))

    assert [found.file for found in report.runs] == ["other.fake", "product.fake"]
    assert {"timing other.fake", "timing product.fake"} <= set(said)


def test_benchmark_tells_artifacts_of_one_name_apart(golden_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    other = Path(shutil.copy(golden_artifact, tmp_path / "old" / "product.fake"))

    report = benchmark([other, golden_artifact], QUICK)

    assert [found.file for found in report.runs] == [str(other), str(golden_artifact)]


def test_benchmark_goes_on_until_a_p99_can_be_quoted(golden_artifact: Path) -> None:
    (found,) = benchmark([golden_artifact], replace(QUICK, seconds=0.001, max_seconds=30)).runs

    assert found.latency is not None
    assert found.latency.count >= 662
    assert found.latency.p99.value_ms is not None


def test_benchmark_says_why_an_artifact_cannot_run_here(
    golden_artifact: Path, engine_elsewhere: Path
) -> None:
    report = benchmark([engine_elsewhere, golden_artifact], QUICK, items=[picture(0)])
    missing, measured = report.runs

    assert (missing.status, missing.latency, measured.status) == (NOT_RUN, None, MEASURED)
    assert missing.reason
    assert missing.size_bytes == engine_elsewhere.stat().st_size
    assert report.holds


def test_benchmark_is_void_when_the_clock_fell(
    golden_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = ClockVerdict(True, "1,500 of 2,400 MHz", 1500.0, 2400.0, 40, 95.0, "cpufreq")
    monkeypatch.setattr(run, "ClockWatch", lambda: _Watch(verdict))

    report = benchmark([golden_artifact], QUICK)
    (found,) = report.runs

    assert (found.status, report.holds) == (VOID, False)
    assert found.reason == "the clock fell: 1,500 of 2,400 MHz"
    assert found.latency is not None
    assert found.clock is not None
    assert found.clock["lowest_mhz"] == 1500.0


def test_benchmark_counts_energy_with_and_without_the_idle_machine(
    golden_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "open_energy_reader", _Meter)
    (found,) = benchmark([golden_artifact], QUICK).runs

    assert found.energy is not None
    assert found.energy.source == "a meter"
    # Both are clocked apart from the meter's own clock by some microseconds.
    assert found.energy.idle_watts == pytest.approx(10, rel=0.1)
    assert found.energy.watts == pytest.approx(10, rel=0.2)
    assert found.energy.net_joules_per_item < 0.2 * found.energy.joules_per_item


def test_benchmark_tells_why_an_engine_has_no_layers(golden_artifact: Path) -> None:
    (found,) = benchmark([golden_artifact], replace(QUICK, layers=True)).runs

    assert found.layers is None
    assert found.layers_note is not None
    assert "profile" in found.layers_note


def test_benchmark_lists_layers_slowest_first(light_artifact: Path) -> None:
    items = [np.full((28, 28), 200, np.uint8)]
    (found,) = benchmark([light_artifact], replace(QUICK, layers=True), items=items).runs

    assert found.layers
    assert [layer.ms for layer in found.layers] == sorted((layer.ms for layer in found.layers), reverse=True)


def test_benchmark_starts_fresh_processes(golden_artifact: Path) -> None:
    (found,) = benchmark([golden_artifact], replace(QUICK, launches=2)).runs

    cold = found.cold_start
    assert cold is not None
    assert cold.launches == 2
    assert cold.cold_start_s.low > cold.import_s.low > 0
    assert cold.peak_rss_bytes.median > 10e6


def test_benchmark_offline_answers_batches(golden_artifact: Path) -> None:
    (found,) = benchmark([golden_artifact], replace(QUICK, scenario="offline", batch=4)).runs

    assert found.latency is not None
    assert (found.batch, found.items) == (4, 4 * found.latency.count)


def test_benchmark_server_is_void_when_arrivals_outrun_it(
    golden_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = FakeRuntime._run

    def slow(self: FakeRuntime, inputs: Any) -> Any:
        time.sleep(0.01)
        return answer(self, inputs)

    monkeypatch.setattr(FakeRuntime, "_run", slow)
    (found,) = benchmark([golden_artifact], replace(QUICK, scenario="server", rate=2000.0)).runs

    assert found.status == VOID
    assert found.reason is not None
    assert "2000 per second come" in found.reason
    assert found.given_up > 0


def test_benchmark_server_keeps_up_with_few_arrivals(golden_artifact: Path) -> None:
    options = replace(QUICK, scenario="server", rate=100.0, seconds=0.3, max_seconds=0.3, workers=2)
    (found,) = benchmark([golden_artifact], options).runs

    assert (found.status, found.given_up) == (MEASURED, 0)


def test_benchmark_without_inputs_says_so(fake_artifact: Path) -> None:
    with pytest.raises(InputError, match="no golden samples.*--data"):
        benchmark([fake_artifact], QUICK)


def test_benchmark_needs_an_artifact() -> None:
    with pytest.raises(UsageError, match="at least one"):
        benchmark([], QUICK)


def test_predictor_benchmarks_itself(golden_artifact: Path) -> None:
    with Predictor(golden_artifact) as predictor:
        found = predictor.benchmark(seconds=0.02, max_seconds=0.02)
        batched = predictor.benchmark(
            [picture(1)], scenario="offline", batch=2, seconds=0.02, max_seconds=0.02
        )

        assert predictor.predict(picture(1)).label == "shoe"
    assert (found.status, found.cold_start) == (MEASURED, None)
    assert found.to_dict()["file"] == "product.fake"
    assert batched.batch == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 999, "scenario": "offline"}, "batch_size=999"),
        ({"items": []}, "an empty list"),
        ({"scenario": "server"}, "Option 'rate': got None"),
        ({"target_rate": 5.0}, "Use --scenario server"),
        ({"scenario": "sideways"}, "got sideways"),
        ({"batch": 2}, "Use --scenario offline"),
        ({"seconds": 0.0}, "more than 0"),
    ],
    ids=["batch", "no items", "no rate", "rate", "scenario", "batch alone", "no time"],
)
def test_predictor_benchmark_refuses(golden_artifact: Path, arguments: dict[str, Any], message: str) -> None:
    with Predictor(golden_artifact) as predictor, pytest.raises(UsageError, match=message):
        predictor.benchmark(**arguments)


@pytest.mark.parametrize("name", ["max_seconds", "workers", "launches"])
def test_options_refuse_what_makes_no_sense(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        BenchOptions(**{name: -1})
