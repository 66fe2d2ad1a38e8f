"""The HTML page, the Markdown and the terminal's tables: complete, escaped, and in need of nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from runtimes.layer_times import LayerTime
from sdk.artifact import Metric
from sdk.bench.page import as_html
from sdk.bench.pareto import pareto
from sdk.bench.record import VOID, BenchReport
from sdk.bench.svg import Axis
from sdk.bench.text import as_markdown, as_text
from tests.sdk.bench.conftest import make_latency, make_report, make_run

NASTY = 'a <b>&"| `x`.onnx'


def several() -> BenchReport:
    layers = (LayerTime("conv<1>", "Conv", 0.4, 0.8, "CPU"),)
    runs = [
        make_run(
            name,
            size_bytes=size,
            latency=make_latency(median, seed=seed),
            accuracy=Metric("accuracy", value, value - 0.01, value + 0.01, 1000, "test"),
            layers=layers,
        )
        for seed, (name, size, median, value) in enumerate(
            [
                ("product.onnx", 2_000_000, 2.0, 0.92),
                ("small.onnx", 500_000, 1.0, 0.90),
                (NASTY, 3_000_000, 3.0, 0.91),
            ]
        )
    ]
    return make_report(*runs, make_report().runs[1])


def test_page_needs_nothing_beside_itself() -> None:
    page = as_html(several())

    assert not re.search(r"https?://|//cdn|@import|url\(|<script|<link|<img|\ssrc=|\shref=", page)
    assert "prefers-color-scheme: dark" in page


def test_page_escapes_names() -> None:
    page = as_html(several())

    assert '<b>&"|' not in page
    assert "a &lt;b&gt;&amp;" in page
    assert "conv&lt;1&gt;" in page


def test_page_draws_valid_charts_of_everything() -> None:
    drawings = re.findall(r"<svg.*?</svg>", as_html(several()), re.DOTALL)

    titles = [ET.fromstring(drawing).get("aria-label") for drawing in drawings]
    assert titles == [
        "Distribution of latencies by artifact",
        "Phases of a prediction",
        "From process start to first result",
        "Median latency against size, MB",
        "Median latency against accuracy, %",
    ]
    assert "NaN" not in "".join(drawings)


def test_page_of_one_artifact_has_no_front() -> None:
    page = as_html(make_report(make_run(layers=None)))

    assert "Latency and size" not in page
    assert "How fast is product.onnx?" in page


def test_page_says_void_in_red_and_keeps_it_from_the_key_figures() -> None:
    page = as_html(make_report(make_run(status=VOID, reason="the clock fell: hot")))

    assert 'class="alarm"' in page
    assert "the clock fell: hot" in page
    assert 'class="tile"' not in page


def test_page_without_any_figures_still_says_why() -> None:
    page = as_html(make_report(make_report().runs[1]))

    assert "no GPU" in page
    assert "<svg" not in page


def test_page_of_few_calls_quotes_no_tail() -> None:
    page = as_html(make_report(make_run(latency=make_latency(count=70))))

    assert "needs 662" in page


@pytest.mark.parametrize("count", [1, 12, 70], ids=str)
def test_page_can_draw_few_calls(count: int) -> None:
    assert "NaN" not in as_html(make_report(make_run(latency=make_latency(count=count))))


def test_pareto_front_is_of_those_that_nobody_beats() -> None:
    drawn = pareto(several().runs, lambda run: run.size_bytes / 1e6, "size, MB", more_is_better=False)

    assert drawn is not None
    assert drawn.count('fill="var(--card)"') == 2  # small.onnx is smaller and faster than both


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(0.2, 30, 0, 100, log=True), [0.3, 1, 3, 10, 30]),
    ],
    ids=["even", "log"],
)
def test_axis_marks_round_numbers(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
    assert [axis.at(axis.low), axis.at(axis.high)] == [0, 100]


def test_text_shows_every_table_and_why_rows_are_empty() -> None:
    text = as_text(several())

    assert "product.trt: not run: no GPU" in text
    assert "host to device 0.100" in text
    assert "20 mJ per item, 12 mJ above idle (19.0 W, idle 7.0 W; RAPL package-0)" in text
    assert "The slowest layers" in text


def test_markdown_keeps_its_cells_together() -> None:
    report = several()
    table = as_markdown(replace(report, inputs="a|b")).split("### ")[1].split("\n\n")[1].splitlines()

    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {10}
    assert any(r"a &lt;b>&\"\| \`x\`.onnx" in line or r"\|" in line for line in table)
