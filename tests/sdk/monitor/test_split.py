"""Two versions against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtimes import UsageError
from sdk.monitor.log_tables import AB, MAIN, SHADOW, LogTables, open_tables
from sdk.monitor.split import as_text, compare_versions, same_answer


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[LogTables]:
    found = open_tables(str(tmp_path / "log.db"), create=True)
    yield found
    found.engine.dispose()


def _fill(
    tables: LogTables, *, right_of_main: int, right_of_other: int, slower_ms: float, agree: int
) -> None:
    """500 answers of each: main and A/B are judged, the shadow is asked what main was asked."""
    rows, feedback = [], []
    for route, version, added_ms in ((MAIN, "a", 0.0), (AB, "b", slower_ms), (SHADOW, "c", 0.0)):
        draw = np.random.default_rng(0)
        for at in range(500):
            label = "shoe" if route != SHADOW or at < agree else "bag"
            rows.append(
                {
                    "at": float(at),
                    "model": "shop",
                    "version": version,
                    "route": route,
                    "request": f"{AB if route == AB else MAIN}{at}",
                    "item": 0,
                    "latency_ms": float(draw.gamma(4.0) + added_ms),
                    "features": f'{{"output.label":"{label}","output.score":0.5}}',
                }
            )
            if route != SHADOW:
                right = at < (right_of_main if route == MAIN else right_of_other)
                # Half is told what was right, half whether it was: both are understood.
                told = {"correct": right, "label": None}
                if at % 2:
                    told = {"correct": None, "label": "shoe" if right else "bag"}
                feedback.append({"model": "shop", "request": f"{route}{at}", "item": 0, "at": 0.0, **told})
    with tables.engine.begin() as connection:
        connection.execute(tables.predictions.insert(), rows)
        connection.execute(tables.feedback.insert(), feedback)


def test_split_finds_what_differs(tables: LogTables) -> None:
    _fill(tables, right_of_main=400, right_of_other=450, slower_ms=2.0, agree=480)
    report = compare_versions(tables, None)
    assert [(side.version, side.judged, side.correct) for side in report.sides] == [
        ("a", 500, 400), ("b", 500, 450), ("c", 250, 210),
    ]  # fmt: skip
    correct, latency = report.differences["b"]
    assert correct.value == pytest.approx(0.1)
    assert correct.low is not None
    assert 0.05 < correct.low < correct.value
    assert correct.significant
    assert latency.value > 0.6, "the challenger is slower in more than half of the pairs"
    assert latency.significant
    agreement = report.agreements["c"]
    assert (agreement.same, agreement.items) == (480, 500)
    assert agreement.low < 0.96 < agreement.high
    text = as_text(report)
    assert "+10.00 points right" in text
    assert "96.00% of 500 answers are the model's" in text


def test_split_says_what_is_open(tables: LogTables) -> None:
    _fill(tables, right_of_main=400, right_of_other=404, slower_ms=0.0, agree=500)
    with tables.engine.begin() as connection:
        connection.execute(tables.feedback.delete().where(tables.feedback.c.request.startswith("ab1")))
    correct, latency = compare_versions(tables, "shop").differences["b"]
    assert not correct.significant
    assert not latency.significant
    with tables.engine.begin() as connection:
        connection.execute(tables.feedback.delete().where(tables.feedback.c.request.startswith("ab")))
    report = compare_versions(tables, "shop")
    assert [difference.what for difference in report.differences["b"]] == ["latency"]
    assert "fewer than 30 judged predictions a side" in as_text(report)


@pytest.mark.parametrize("model", [None, "other"])
def test_split_of_a_log_without_two_versions(tables: LogTables, model: str | None) -> None:
    with pytest.raises(UsageError, match="Option --model: got"):
        compare_versions(tables, model)
    row = {"at": 0.0, "model": "shop", "version": "a", "route": MAIN, "request": "r", "item": 0,
           "latency_ms": 1.0, "features": "{}"}  # fmt: skip
    with tables.engine.begin() as connection:
        connection.execute(tables.predictions.insert(), [row])
    with pytest.raises(UsageError, match="Log: got one version of 'shop', expected two|Option --model"):
        compare_versions(tables, model)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"output.label": "a", "output.score": 0.9}, {"output.label": "a", "output.score": 0.5}, True),
        ({"output.label": "a"}, {"output.label": "b"}, False),
        ({"output.mean": 100.0, "input.mean": 1.0}, {"output.mean": 100.9, "input.mean": 9.0}, True),
        ({"output.mean": 100.0}, {"output.mean": 102.0}, False),
        ({"output.mean": 0.0}, {"output.mean": 0.0}, True),
        ({"output.mean": 1.0}, {}, False),
    ],
    ids=["label", "another label", "close", "apart", "zero", "missing"],
)
def test_same_answer(first: dict[str, float | str], second: dict[str, float | str], same: bool) -> None:
    assert same_answer(first, second) == same
