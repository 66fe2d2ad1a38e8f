"""Whether drift is told from accidents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtimes import UsageError
from sdk.artifact import read_artifact
from sdk.monitor.drift import DRIFT, STABLE, UNDECIDED, Limits, measure_drift
from sdk.monitor.reference import Reference, Row
from tests.sdk.monitor.watched import REFERENCE_ROWS, darker, pictures, rows_of

RUNS = 100
WINDOW = 500
MOST_FALSE_ALARMS, FEWEST_DETECTIONS = 2, 98


@pytest.fixture(scope="module")
def reference(watched_artifact: Path) -> Reference:
    found = read_artifact(watched_artifact).manifest.reference
    assert found is not None
    return found


@pytest.fixture(scope="module")
def streams(watched_artifact: Path) -> dict[str, list[Row]]:
    """Features of real pictures that the reference has not seen, as they are and darker."""
    some = pictures()[REFERENCE_ROWS : REFERENCE_ROWS + 3000]
    return {"unshifted": rows_of(watched_artifact, some), "shifted": rows_of(watched_artifact, darker(some))}


def _alarms(reference: Reference, rows: list[Row], window: int) -> int:
    alarms = 0
    for seed in range(RUNS):
        chosen = np.random.default_rng(seed).choice(len(rows), window, replace=False)
        alarms += measure_drift(reference, [rows[at] for at in chosen]).status == DRIFT
    return alarms


@pytest.mark.parametrize("window", [200, WINDOW])
def test_unshifted_streams_are_not_flagged(
    reference: Reference, streams: dict[str, list[Row]], window: int
) -> None:
    assert _alarms(reference, streams["unshifted"], window) <= MOST_FALSE_ALARMS


@pytest.mark.parametrize("window", [200, WINDOW])
def test_shifted_streams_are_flagged(
    reference: Reference, streams: dict[str, list[Row]], window: int
) -> None:
    assert _alarms(reference, streams["shifted"], window) >= FEWEST_DETECTIONS


def test_report_names_what_drifted(reference: Reference, streams: dict[str, list[Row]]) -> None:
    report = measure_drift(reference, streams["shifted"][:WINDOW], model="light", version="abc")
    assert "input.contrast" in [feature.name for feature in report.drifted]
    assert report.features[: len(report.drifted)] == report.drifted, "the drifted ones come first"
    assert report.unknown == ()
    told = report.to_dict()
    assert told["status"] == DRIFT
    assert told["drifted"] == [feature.name for feature in report.drifted]
    assert report.summary().startswith(f"{len(report.drifted)} of {len(report.features)} features drifted")


def test_answers_that_drift_alone_are_flagged() -> None:
    reference = Reference.of([{"output.label": "ab"[at % 2]} for at in range(1000)], "test")
    assert reference is not None
    report = measure_drift(reference, [{"output.label": "aaaaab"[at % 6]} for at in range(300)])
    assert report.status == DRIFT
    assert report.features[0].distance is None
    same = measure_drift(reference, [{"output.label": "ab"[at % 2]} for at in range(300)])
    assert same.status == STABLE
    assert same.over


def test_large_window_does_not_flag_what_does_not_matter() -> None:
    draw = np.random.default_rng(0)
    reference = Reference.of([{"x": value} for value in draw.normal(size=20_000)], "test")
    assert reference is not None
    report = measure_drift(reference, [{"x": value} for value in draw.normal(0.15, size=20_000)])
    assert report.features[0].p_value < 1e-6, "it is no accident"
    assert report.status == STABLE, "and too small to matter"


def test_small_window_does_not_flag_an_accident() -> None:
    draw = np.random.default_rng(3)
    reference = Reference.of([{"x": value} for value in draw.normal(size=1000)], "test")
    assert reference is not None
    few = Limits(fewest=10)
    reports = [measure_drift(reference, [{"x": v} for v in draw.normal(size=20)], few) for _ in range(50)]
    assert max(report.features[0].psi for report in reports) > few.psi
    assert [report.status for report in reports].count(DRIFT) <= 2


def test_few_rows_decide_nothing(reference: Reference, streams: dict[str, list[Row]]) -> None:
    report = measure_drift(reference, streams["shifted"][:199])
    assert report.status == UNDECIDED
    assert not report.over
    assert report.summary() == "199 rows, 200 are needed to tell"


def test_features_on_one_side_are_named(reference: Reference) -> None:
    report = measure_drift(reference, [{"input.brightness": 0.3, "input.colour": 1.0}] * 200)
    assert "input.colour" in report.unknown
    assert "output.label" in report.unknown
    assert [feature.name for feature in report.features] == ["input.brightness"]


def test_alarm_is_over_only_clearly_below_the_limit() -> None:
    reference = Reference.of([{"output.label": "ab"[at % 2]} for at in range(1000)], "test")
    assert reference is not None
    rows = [{"output.label": "a" if at % 100 < 70 else "b"} for at in range(1000)]
    report = measure_drift(reference, rows)
    assert 0.15 < report.features[0].psi < 0.2
    assert report.status == STABLE
    assert not report.over


@pytest.mark.parametrize(
    ("option", "changes"),
    [("--psi", {"psi": 0.0}), ("--significance", {"significance": 1.0}), ("--min-rows", {"fewest": 1})],
)
def test_limits_that_make_no_sense(option: str, changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"Option {option}: got"):
        Limits(**changes)  # type: ignore[arg-type]
