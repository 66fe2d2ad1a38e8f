"""The report as JSON: written, read back, and refused where it is not one."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from runtimes import SpecError
from runtimes.layer_times import LayerTime
from sdk.artifact import Metric
from sdk.bench import BenchReport
from sdk.bench.figures import BINS_PER_DECADE, Histogram, Latency
from sdk.bench.record import VOID, finite
from tests.sdk.bench.conftest import make_report, make_run


def test_report_survives_json() -> None:
    layers = (LayerTime("conv", "Conv", 0.4, 0.8, "CPU"), LayerTime("fc", "Gemm", 0.1, 0.2, "CPU"))
    metric = Metric("accuracy", 0.9, 0.88, 0.92, 1000, "test")
    report = make_report(make_run(layers=layers, layers_note=None, accuracy=metric), *make_report().runs)

    assert BenchReport.from_json(report.dumps()) == report


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-40], "bench.json: got text that is not JSON"),
        (lambda text: b"\xff\xfe\x00", "bench.json: got text that is not JSON"),
        (lambda text: "[]", "bench.json: got JSON of another kind"),
        (lambda text: text.replace('"version": 2', '"version": 99'), "bench.json: got version 99"),
        (
            lambda text: text.replace('"batch": 1', '"batch": "one"', 1),
            r"bench.json.runs\[0\].batch: got 'one'",
        ),
        (lambda text: text.replace('"items"', '"itmes"', 1), "unknown key 'itmes'"),
        (lambda text: text.replace('"p99"', '"p98"', 1), "unknown key 'p98'|no key 'p99'"),
        (lambda text: text.replace("950.0", "NaN", 1), "throughput_per_s: got"),
        (lambda text: text.replace('"single-stream"', '"sideways"', 1), "Option 'scenario': got sideways"),
    ],
    ids=["cut short", "binary", "a list", "version", "type", "key", "nested key", "NaN", "scenario"],
)
def test_report_refuses_what_it_did_not_write(damage: Any, message: str) -> None:
    from runtimes import EdgewrightError

    with pytest.raises(EdgewrightError, match=message) as caught:
        BenchReport.from_json(damage(make_report().dumps()), "bench.json")
    assert "\n" not in str(caught.value)


def test_report_of_another_kind_says_what_to_do() -> None:
    with pytest.raises(SpecError, match="Run the benchmark again"):
        BenchReport.from_json('{"format": "other"}')


def test_report_holds_only_with_figures_and_none_void() -> None:
    assert make_report().holds
    assert not make_report(make_run(), make_run(status=VOID, reason="hot")).holds
    assert not make_report(make_report().runs[1]).holds


def test_histogram_counts_every_call_in_its_bin() -> None:
    values = np.asarray([0.001, 0.5, 0.5, 1.0, 1.01, 250.0])
    found = Histogram.of(values)

    assert sum(found.counts) == len(values)
    for value in values:
        at = math.floor(BINS_PER_DECADE * math.log10(value)) - found.first_bin
        assert found.counts[at] > 0


def test_latency_is_in_milliseconds_and_keeps_the_tail() -> None:
    found = Latency.of(np.asarray([0.001] * 999 + [1.0]))

    assert (found.min_ms, found.max_ms, found.count) == (1.0, 1000.0, 1000)
    assert found.p50.value_ms == found.p99.value_ms == 1.0
    assert found.mean_ms == pytest.approx(1.999)


def test_latency_of_few_calls_has_no_tail() -> None:
    found = Latency.of(np.full(70, 0.002))

    assert (found.p50.value_ms, found.p90.value_ms) == (2.0, 2.0)
    assert (found.p99.value_ms, found.p99.needs) == (None, 662)


def test_summary_says_the_figures_or_why_there_are_none() -> None:
    measured, missing = make_report().runs

    assert "p50 0.990 ms, p90 1.463, p99 1.980; 950 items/s" in measured.summary()
    assert missing.summary() == "product.trt: not run: no GPU"


def test_finite_leaves_only_what_json_holds() -> None:
    found = finite({"a": (1, math.nan), 2: np.float64(0.5), "c": object})

    assert json.dumps(found, allow_nan=False)
    assert found["a"] == [1, None]
