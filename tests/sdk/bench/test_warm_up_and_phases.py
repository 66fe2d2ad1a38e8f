"""Warm-up ends when it is steady, and phases are those of the predictor."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.bench.phases import PhaseClock
from sdk.bench.warm_up import WINDOW_CALLS, WINDOWS_ALIKE, warm_up

STEP_S = 0.003


def test_warm_up_ends_with_windows_alike() -> None:
    found = warm_up(lambda: 0.01)

    assert found.stable
    assert found.calls >= WINDOWS_ALIKE * WINDOW_CALLS
    assert "5%" in found.rule


def test_warm_up_waits_for_a_slow_start_to_pass() -> None:
    durations = iter([0.1] * 12 + [0.01] * 100_000)

    def call() -> float:
        time.sleep(0.001)
        return next(durations)

    found = warm_up(call)

    assert found.stable
    assert found.calls >= 12 + WINDOWS_ALIKE


def test_warm_up_gives_up_on_what_never_settles() -> None:
    begin = time.perf_counter()

    assert not warm_up(lambda: time.perf_counter() - begin, longest_s=0.03).stable


class _Runtime(SimpleNamespace):
    tells_phases = False
    phases_wanted = False
    wanted: list[bool]

    def run(self, arrays: Any) -> Any:
        self.wanted.append(self.phases_wanted)
        time.sleep(2 * STEP_S)
        return arrays

    def last_phases(self) -> dict[str, float]:
        return {"host_to_device": 0.5, "compute": 1.0, "device_to_host": 0.25}


class _Predictor:
    def __init__(self, tells: bool) -> None:
        self.runtime = _Runtime(tells_phases=tells, wanted=[])
        self.asked: list[Any] = []

    def predict(self, item: Any) -> None:
        self.asked.append(item)
        time.sleep(4 * STEP_S)

    def prepare(self, items: Any) -> Any:
        time.sleep(STEP_S)
        return items, items

    def compute(self, arrays: Any) -> Any:
        return self.runtime.run(arrays)

    def finish(self, outputs: Any, samples: Any) -> None:
        time.sleep(STEP_S)


@pytest.mark.parametrize("single", [True, False], ids=["one item", "a batch"])
def test_phases_are_told_apart_and_stand_beside_the_whole(single: bool) -> None:
    predictor = _Predictor(tells=False)
    clock = PhaseClock(predictor, [["a"], ["b"]], single=single)  # type: ignore[arg-type]
    for _ in range(4):
        clock.block(0.0)
    found = clock.result()

    # Sleeps end late, never early.
    assert found.preprocess_ms >= 1e3 * STEP_S
    assert found.run_ms >= 2e3 * STEP_S
    assert found.postprocess_ms >= 1e3 * STEP_S
    assert found.predict_ms >= 4e3 * STEP_S
    assert (found.count, found.device_ms) == (4, None)
    assert predictor.asked == (["a", "a", "b", "b"] if single else [["a"], ["a"], ["b"], ["b"]])


def test_device_phases_are_taken_in_runs_of_their_own() -> None:
    predictor = _Predictor(tells=True)
    clock = PhaseClock(predictor, [["a"]], single=True)  # type: ignore[arg-type]
    clock.block(0.0)
    found = clock.result()

    assert found.device_ms == {"host_to_device": 0.5, "compute": 1.0, "device_to_host": 0.25}
    assert predictor.runtime.wanted == [False, True]
    assert not predictor.runtime.phases_wanted
