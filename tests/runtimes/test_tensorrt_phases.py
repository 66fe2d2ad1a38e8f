"""Phases of a TensorRT run by CUDA events, on the stand-in: taken when asked for, and given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes import EngineError, Program
from runtimes.tensorrt_phases import PHASES
from runtimes.tensorrt_runtime import TensorRTRuntime
from tests.runtimes.tensorrt_stand_in import OUT_OF_MEMORY, TensorRTStandIn, install, make_plan


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> TensorRTStandIn:
    return install(monkeypatch)


def image(level: int) -> dict[str, Any]:
    return {"image": np.full((1, 2, 2, 1), level, np.uint8)}


def test_phases_are_none_and_cost_no_event_unless_wanted(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        runtime.run(image(3))

        assert runtime.last_phases() is None
        assert trt.cudart.calls["cudaEventRecord"] == 0


def test_phases_are_those_of_the_last_run_and_do_not_change_its_answer(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan())) as runtime:
        plain = runtime.run(image(3))["scores"]
        runtime.phases_wanted = True
        told = runtime.run(image(3))["scores"]
        phases = runtime.last_phases()
        runtime.phases_wanted = False
        runtime.run(image(3))

        np.testing.assert_array_equal(told, plain)
        assert phases is not None
        assert tuple(phases) == PHASES
        assert all(ms >= 0 for ms in phases.values())
        assert runtime.last_phases() is None
        assert trt.cudart.calls["cudaEventCreate"] == 4


def test_phases_leave_a_recorded_graph_alone(trt: TensorRTStandIn) -> None:
    with TensorRTRuntime(Program(make_plan()), cuda_graph=True) as runtime:
        runtime.run(image(1))
        runtime.phases_wanted = True
        np.testing.assert_array_equal(runtime.run(image(5))["scores"], [[5, 10, 15]])
        runtime.phases_wanted = False
        runtime.run(image(2))

        calls = trt.cudart.calls
        assert (calls["cudaStreamBeginCapture"], calls["cudaGraphLaunch"]) == (1, 1)


def test_phases_free_their_events(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()))
    runtime.phases_wanted = True
    runtime.run(image(1))
    runtime.close()

    assert trt.cudart.leaks == {}


def test_phases_without_events_are_an_error_and_leak_nothing(trt: TensorRTStandIn) -> None:
    runtime = TensorRTRuntime(Program(make_plan()))
    runtime.phases_wanted = True
    trt.cudart.failing["cudaEventCreate"] = OUT_OF_MEMORY

    with pytest.raises(EngineError, match="cudaEventCreate: got out of memory"):
        runtime.run(image(1))
    runtime.phases_wanted = False
    np.testing.assert_array_equal(runtime.run(image(1))["scores"], [[1, 2, 3]])
    runtime.close()
    assert trt.cudart.leaks == {}
