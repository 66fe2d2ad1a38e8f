"""What an interval allows to be said, and about what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtimes import UsageError
from sdk.compare import PASS, REGRESSION, UNDECIDED, Duel, Limits
from sdk.compare.statistics import Ratio
from sdk.compare.verdict import decide, judge, judge_size, measured_metrics

MOST_ROUNDS_OF_A_CLEAR_CASE = 10


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        pytest.param(1.00, 0.98, 1.02, PASS, id="the same"),
        pytest.param(0.80, 0.70, 0.90, PASS, id="faster"),
        pytest.param(1.02, 1.01, 1.03, PASS, id="slower for certain, and within the limit"),
        pytest.param(1.06, 1.03, 1.09, REGRESSION, id="slower by the limit"),
        pytest.param(1.50, 1.40, 1.60, REGRESSION, id="far slower"),
        pytest.param(1.00, 0.90, 1.10, UNDECIDED, id="anything is possible"),
        pytest.param(1.06, 0.99, 1.13, UNDECIDED, id="equality is not excluded"),
        pytest.param(1.02, 1.001, 1.06, UNDECIDED, id="nearer to equality than to the limit"),
    ],
)
def test_decide(value: float, low: float, high: float, verdict: str) -> None:
    assert decide(Ratio(value, low, high, 0.99), 1.05) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.13, UNDECIDED), (1.24, UNDECIDED), (1.26, REGRESSION)], ids=str
)
def test_noisy_metric_regresses_past_its_limit_only(value: float, verdict: str) -> None:
    assert decide(Ratio(value, 1.05, 1.6, 0.998), 1.25, midway=False) == verdict


@pytest.mark.parametrize("name", ["latency", "tail", "cold_start", "memory", "size"])
@pytest.mark.parametrize("value", [1.0, 0.5, 105, float("nan"), "much"], ids=str)
def test_limits_refuse_what_is_no_ratio(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="expected a number above 1"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ms", "verdict"), [(2.0, PASS), (2.1, REGRESSION), (2.2, REGRESSION), (1.5, PASS)], ids=str
)
def test_duel_ends_when_it_is_clear(launches: Callable[..., list], ms: float, verdict: str) -> None:
    duel = Duel(Limits(), budget_s=1000)
    for baseline, candidate in zip(launches(1, 60), launches(2, 60, ms), strict=True):
        if duel.add(baseline, candidate, seconds=1.0):
            break

    assert duel.leading is not None and duel.leading.verdict == verdict
    assert duel.rounds <= MOST_ROUNDS_OF_A_CLEAR_CASE or ms == 2.1


def test_duel_ends_undecided_when_time_is_up(launches: Callable[..., list]) -> None:
    duel = Duel(Limits(latency=1.001), budget_s=9.5)
    rounds = zip(launches(1, 60), launches(2, 60), strict=True)
    while not duel.add(*next(rounds), seconds=1.0):
        pass

    assert duel.rounds == 9
    assert duel.leading is not None and duel.leading.verdict == UNDECIDED


def test_judge_separates_the_metrics(launches: Callable[..., list]) -> None:
    baseline, candidate = launches(1, 10), launches(2, 10, memory_mb=120)

    verdicts = {m.name: judge(m, baseline, candidate, paired=True) for m in measured_metrics(Limits())}

    assert {name for name, v in verdicts.items() if v.verdict == REGRESSION} == {"memory"}
    assert verdicts["memory"].ratio.value == pytest.approx(120 / 90, rel=0.01)
    assert (verdicts["memory"].unit, verdicts["latency"].unit) == ("MB", "ms")


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(100, PASS), (110, PASS), (111, REGRESSION), (10, PASS)], ids=str
)
def test_size_is_judged_exactly(candidate: int, verdict: str) -> None:
    assert judge_size(100, candidate, 1.10).verdict == verdict
