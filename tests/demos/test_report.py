"""The report: one file, nothing from outside, everything from data escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from demos.report import confusion, render, write_report
from tests.demos.findings import ANSWERS, LABELS, TRUTHS, make_findings

VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Balance(HTMLParser):
    """Collects tags that are not closed in the order in which they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def page() -> str:
    return render(make_findings())


def test_page_is_well_formed(page: str) -> None:
    balance = _Balance()
    balance.feed(page)

    assert (balance.wrong, balance.open) == ([], [])


def test_page_needs_nothing_from_outside(page: str) -> None:
    balance = _Balance()
    balance.feed(page)

    assert balance.sources
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in balance.sources)
    assert not re.search(r"https?://|@import|<script|<link|url\((?!#)", page)


def test_labels_are_escaped(page: str) -> None:
    assert LABELS[1] not in page
    assert "&lt;dark&gt; &amp; deep" in page


def test_table_tells_what_was_not_run(page: str) -> None:
    row = page[page.index("<b>light.trt</b>") :].partition("</tr>")[0]

    assert "built, not run" in row
    assert "ms" not in row
    assert "%" not in row


def test_mistake_names_the_truth(page: str) -> None:
    wrong = re.findall(r"<figure class=wrong>.*?</figure>", page, re.DOTALL)

    assert len(wrong) == 1
    assert "is &lt;dark&gt; &amp; deep" in wrong[0]


def test_charts_take_their_ink_from_the_page(page: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)

    assert len(charts) == 2
    for chart in charts:
        assert "var(--ink)" in chart
        assert "#010203" not in chart


def test_latency_chart_shows_only_what_was_timed(page: str) -> None:
    chart = next(svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if "Latency" in svg)

    assert "light.onnx" in chart
    assert "light.trt" not in chart


def test_contract_says_where_each_step_runs(page: str) -> None:
    steps = re.findall(r"<li>(.*?)</li>", page)

    assert any("on host" in step and "Stretch to 28×28, bilinear" in step for step in steps)
    assert any("in graph" in step and "softmax over 2 scores" in step for step in steps)


def test_equal_findings_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, make_findings())

    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_confusion_counts_truth_by_row() -> None:
    assert np.array_equal(confusion(TRUTHS, ANSWERS, 2), [[2, 0], [1, 1]])
