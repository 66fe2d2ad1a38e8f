"""One suite over every registered runtime: what `Runtime` promises, each adapter keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from importlib.util import find_spec

import numpy as np
import pytest

from runtimes import (
    RUNTIMES,
    EngineError,
    InputError,
    Runtime,
    UsageError,
    entry_for,
)
from tests.runtimes.conformance_subjects import BIAS, MAX_BATCH, SUBJECTS, Subject, reference

RANDOM = np.random.default_rng(3)


@pytest.fixture(params=sorted(SUBJECTS))
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Subject:
    builder = EntryPoint(
        "conformance_linear", "tests.runtimes.conformance_subjects:linear_network", "edgewright.networks"
    )
    if find_spec("torch"):
        monkeypatch.setattr("runtimes.torch_runtime.entry_points", lambda group: [builder])
    chosen = SUBJECTS[request.param]
    chosen.prepare(monkeypatch)
    return chosen


@pytest.fixture
def runtime(subject: Subject) -> Iterator[Runtime]:
    with subject.open() as opened:
        yield opened


def images(batch: int) -> np.ndarray:
    return RANDOM.normal(size=(batch, 4, 4)).astype(np.float32)


def expected(subject: Subject, x: np.ndarray) -> np.ndarray:
    return reference(x) if subject.computes else np.broadcast_to(BIAS, (len(x), 3))


def test_subjects_cover_every_registered_runtime() -> None:
    assert {subject.engine for subject in SUBJECTS.values()} == {entry.name for entry in RUNTIMES}


def test_runtime_names_dtypes_and_shapes(runtime: Runtime) -> None:
    assert [(i.name, i.dtype, i.shape[1:]) for i in runtime.inputs] == [("x", "float32", (4, 4))]
    assert [(i.name, i.dtype, i.shape[1:]) for i in runtime.outputs] == [("scores", "float32", (3,))]
    assert runtime.inputs[0].accepts((1, 4, 4))
    assert runtime.inputs[0].accepts((MAX_BATCH, 4, 4))


@pytest.mark.parametrize("batch", [1, 3, MAX_BATCH])
def test_runtime_answers_the_reference(runtime: Runtime, subject: Subject, batch: int) -> None:
    x = images(batch)
    outputs = runtime.run({"x": x})
    assert list(outputs) == ["scores"]
    assert outputs["scores"].dtype == np.float32
    np.testing.assert_allclose(outputs["scores"], expected(subject, x), atol=subject.tolerance, rtol=0)


def test_runtime_bounded_batch_is_refused_beyond_its_bound(runtime: Runtime, subject: Subject) -> None:
    if not subject.bounded:
        assert runtime.inputs[0].accepts((10 * MAX_BATCH, 4, 4))
        return
    with pytest.raises(
        InputError, match=rf"got float32 \({MAX_BATCH + 1}, 4, 4\), expected float32 \(1\.\.8"
    ):
        runtime.run({"x": images(MAX_BATCH + 1)})


WRONG_INPUTS = {
    "dtype": (
        {"x": np.zeros((1, 4, 4))},
        r"got float64 \(1, 4, 4\), expected float32 .*astype\(np.float32\)",
    ),
    "rank": ({"x": np.zeros((4, 4), np.float32)}, r"got float32 \(4, 4\), expected float32"),
    "shape": ({"x": np.zeros((1, 4, 5), np.float32)}, r"got float32 \(1, 4, 5\)"),
    "name": ({"y": np.zeros((1, 4, 4), np.float32)}, r"got \['y'\], expected .*\['x'\]"),
    "missing": ({}, r"got \[\], expected .*\['x'\]"),
    "extra": ({"x": np.zeros((1, 4, 4), np.float32), "y": np.zeros(1)}, r"got \['x', 'y'\]"),
    "list": ({"x": [[0.0] * 4] * 4}, r"got list, expected float32"),
    "no mapping": ([1, 2], r"got list, expected a mapping"),
    "nan": ({"x": np.full((1, 4, 4), np.nan, np.float32)}, r"with NaN, expected float32"),
    "empty batch": ({"x": np.zeros((0, 4, 4), np.float32)}, r"got float32 \(0, 4, 4\)"),
}


@pytest.mark.parametrize("wrong", sorted(WRONG_INPUTS))
def test_runtime_refuses_wrong_input_in_one_line(runtime: Runtime, wrong: str) -> None:
    inputs, message = WRONG_INPUTS[wrong]
    with pytest.raises(InputError, match=message) as caught:
        runtime.run(inputs)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_runtime_answers_after_a_refusal(runtime: Runtime, subject: Subject) -> None:
    x = images(2)
    with pytest.raises(InputError):
        runtime.run({"x": x.astype(np.float64)})
    np.testing.assert_allclose(
        runtime.run({"x": x})["scores"], expected(subject, x), atol=subject.tolerance, rtol=0
    )


@pytest.mark.parametrize("how", ["strided", "read-only"])
def test_runtime_takes_any_memory_layout(runtime: Runtime, subject: Subject, how: str) -> None:
    x = images(4)
    if how == "strided":
        x = x[::2, :, ::-1]
    else:
        x.flags.writeable = False
    before = x.copy()
    outputs = runtime.run({"x": x})
    np.testing.assert_allclose(outputs["scores"], expected(subject, x), atol=subject.tolerance, rtol=0)
    np.testing.assert_array_equal(x, before)


def test_runtime_outputs_belong_to_the_caller(runtime: Runtime, subject: Subject) -> None:
    first_x = images(2)
    first = runtime.run({"x": first_x})["scores"]
    kept = first.copy()
    runtime.run({"x": images(2)})
    np.testing.assert_array_equal(first, kept)
    first[:] = 0  # writable, and nobody else's
    np.testing.assert_allclose(runtime.run({"x": first_x})["scores"], kept, atol=subject.tolerance, rtol=0)


def test_runtime_close_twice_then_run_is_an_error(subject: Subject) -> None:
    runtime = subject.open()
    runtime.close()
    runtime.close()
    with pytest.raises(EngineError, match=r"got a call after close\(\), expected an open runtime"):
        runtime.run({"x": images(1)})


def test_runtime_two_instances_do_not_share_state(subject: Subject) -> None:
    first = subject.open()
    second = subject.open()
    x = images(2)
    first.run({"x": x})
    first.close()
    with second:
        np.testing.assert_allclose(
            second.run({"x": x})["scores"], expected(subject, x), atol=subject.tolerance, rtol=0
        )


def test_runtime_threads_get_their_own_answers(runtime: Runtime, subject: Subject) -> None:
    start = threading.Barrier(6)

    def work(seed: int) -> bool:
        x = np.random.default_rng(seed).normal(size=(1 + seed % 3, 4, 4)).astype(np.float32)
        start.wait(timeout=30)
        return all(
            np.allclose(runtime.run({"x": x})["scores"], expected(subject, x), atol=subject.tolerance, rtol=0)
            for _ in range(50)
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_runtime_reports_its_engine(runtime: Runtime) -> None:
    assert runtime.report()["engine"] == runtime.name


@pytest.mark.parametrize("threads", [1, 2])
def test_runtime_threads_option_changes_no_answer(subject: Subject, threads: int) -> None:
    if "threads" not in entry_for(subject.suffix).load().__init__.__annotations__:
        with pytest.raises(UsageError, match="Runtime option 'threads'"):
            subject.open(threads=threads)
        return
    x = images(3)
    with subject.open(threads=threads) as runtime:
        np.testing.assert_allclose(
            runtime.run({"x": x})["scores"], expected(subject, x), atol=subject.tolerance, rtol=0
        )
    with pytest.raises(UsageError, match="Option 'threads': got 0"):
        subject.open(threads=0)


def test_runtime_unknown_option_is_named(subject: Subject) -> None:
    with pytest.raises(UsageError, match="Runtime option 'warp'.*Remove it"):
        subject.open(warp=9)


def test_runtime_refuses_bytes_of_something_else(subject: Subject) -> None:
    from dataclasses import replace

    with pytest.raises(EngineError) as caught:
        subject.open(replace(subject.program(), data=b"not a program at all" * 10))
    assert "\n" not in str(caught.value)


def test_runtime_profiles_its_layers(runtime: Runtime, subject: Subject) -> None:
    if subject.options.get("native") is False:
        with pytest.raises(UsageError, match=r"got the Python route.*edgewright build-native"):
            runtime.profile({"x": images(2)}, 3)
        return
    if subject.engine == "fake":
        with pytest.raises(UsageError, match=r"fake runtime: got a call of profile\(\)"):
            runtime.profile({"x": images(2)}, 3)
        return
    layers = runtime.profile({"x": images(2)}, 3)
    assert layers
    assert all(layer.name and layer.kind and layer.device and layer.ms >= 0 for layer in layers)
    assert sum(layer.share for layer in layers) == pytest.approx(1)
    assert len({(layer.name, layer.kind, layer.device) for layer in layers}) == len(layers)
    x = images(3)  # it runs on as before
    np.testing.assert_allclose(
        runtime.run({"x": x})["scores"], expected(subject, x), atol=subject.tolerance, rtol=0
    )


def test_runtime_profile_refuses_what_run_refuses(runtime: Runtime) -> None:
    with pytest.raises(InputError, match="got float64"):
        runtime.profile({"x": images(2).astype(np.float64)})
    with pytest.raises(UsageError, match=r"Option 'runs': got 0, expected a whole number from 1"):
        runtime.profile({"x": images(2)}, 0)


def test_runtime_profile_after_close_is_an_error(subject: Subject) -> None:
    runtime = subject.open()
    runtime.close()
    with pytest.raises(EngineError, match=r"got a call after close\(\)"):
        runtime.profile({"x": images(1)})
