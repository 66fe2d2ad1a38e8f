"""The queue and its batches, around a predictor that can be held, and that refuses some items."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, EngineError, InputError
from sdk.kinds import Sample
from sdk.serve.batching import (
    Answer,
    Batcher,
    BatchRecord,
    ClosedError,
    DeadlineError,
    QueueFullError,
    Work,
    to_json,
)
from sdk.serve.options import Batching

PATIENCE_S = 10.0


class FakeInput:
    """Takes numbers; those that differ in sign share no batch."""

    def load(self, item: Any) -> Sample:
        if item == "bad":
            raise InputError("Item", got="bad", expected="a number", fix="Send one.")
        if item == "bug":
            raise KeyError("inside")
        if item == "huge":
            raise MemoryError
        return Sample({"x": np.array([item], np.float32)}, None, {})

    def together(self, sample: Sample) -> bool:
        return bool(sample.arrays["x"][0] < 0)


class FakePredictor:
    """Doubles numbers; holds every call until `open` is set, and fails calls with a 13 in them."""

    def __init__(self, max_batch: int | None = None) -> None:
        self.open, self.entered = threading.Event(), threading.Semaphore(0)
        self.calls: list[list[float]] = []
        self.spec = SimpleNamespace(
            name="fake",
            batch=Dim(1, max_batch),
            input=FakeInput(),
            output=SimpleNamespace(read=lambda outputs, samples: [Result(row[0]) for row in outputs["y"]]),
            activated=lambda outputs: outputs,
        )

    def stack(self, samples: Sequence[Sample]) -> dict[str, Any]:
        return {"x": np.stack([sample.arrays["x"] for sample in samples])}

    def compute(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.entered.release()
        assert self.open.wait(PATIENCE_S)
        self.calls.append(arrays["x"][:, 0].tolist())
        if 13 in arrays["x"]:
            raise EngineError("Engine", got="13", expected="another", fix="Send another.")
        return {"y": 2 * arrays["x"]}

    def activated(self, outputs: dict[str, Any], samples: Sequence[Sample]) -> dict[str, Any]:
        return outputs


class Result:
    def __init__(self, value: float) -> None:
        self.value = float(value)

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value}


class Bench:
    """A batcher and what came out of it."""

    def __init__(
        self, *, artifact_max: int | None = None, observers: Sequence[Any] = (), **options: Any
    ) -> None:
        self.predictor = FakePredictor(artifact_max)
        self.outcomes: dict[Work, Any] = {}
        self._some = threading.Condition()
        self.batcher = Batcher(self.predictor, Batching(**options), self._take, observers)  # type: ignore[arg-type]

    def submit(self, *items: Any, **more: Any) -> list[Work]:
        works = [Work(item, **more) for item in items]
        self.batcher.submit(works)
        return works

    def held(self, item: Any = 0) -> Work:
        """A first item that keeps the only worker busy."""
        self.predictor.open.clear()
        (work,) = self.submit(item)
        assert self.predictor.entered.acquire(timeout=PATIENCE_S)
        return work

    def results(self, works: Sequence[Work]) -> list[Any]:
        """What came of each, once all have: a value, or the class of an error."""
        with self._some:
            assert self._some.wait_for(lambda: all(work in self.outcomes for work in works), PATIENCE_S)
        found = [self.outcomes[work] for work in works]
        return [one.result.value if isinstance(one, Answer) else type(one) for one in found]

    def _take(self, outcomes: list[tuple[Work, Any]]) -> None:
        with self._some:
            self.outcomes.update(outcomes)
            self._some.notify_all()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def made(**options: Any) -> Bench:
        benches.append(Bench(**options))
        benches[-1].predictor.open.set()
        return benches[-1]

    yield made
    for one in benches:
        one.predictor.open.set()
        one.batcher.close()


def test_batcher_answers_each_with_its_own(bench: Callable[..., Bench]) -> None:
    one = bench()
    assert one.results(one.submit(1, 2, 3)) == [2, 4, 6]


def test_batcher_puts_what_came_meanwhile_into_one_call(bench: Callable[..., Bench]) -> None:
    one = bench()
    first = one.held(1)
    rest = one.submit(2, 3) + one.submit(4)
    one.predictor.open.set()
    assert one.results([first, *rest]) == [2, 4, 6, 8]
    assert one.predictor.calls == [[1], [2, 3, 4]]


@pytest.mark.parametrize(
    "bounds", [pytest.param({"artifact_max": 2}, id="artifact"), pytest.param({"max_batch": 2}, id="option")]
)
def test_batcher_keeps_to_the_smallest_bound(bench: Callable[..., Bench], bounds: dict[str, int]) -> None:
    one = bench(**bounds)
    first = one.held(0)
    rest = one.submit(1, 2, 3, 4, 5)
    one.predictor.open.set()
    assert one.results([first, *rest]) == [0, 2, 4, 6, 8, 10]
    assert one.predictor.calls[1:] == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        pytest.param("bad", InputError, id="refused"),
        pytest.param("bug", EngineError, id="a-bug-inside"),
        pytest.param("huge", InputError, id="out-of-memory"),
        pytest.param(13, EngineError, id="refused-by-the-engine"),
    ],
)
def test_batcher_lets_one_bad_item_answer_for_itself_alone(
    bench: Callable[..., Bench], item: Any, error: type[Exception]
) -> None:
    one = bench()
    first = one.held()
    rest = one.submit(1, item, 2)
    one.predictor.open.set()
    assert one.results([first, *rest]) == [0, 2, error, 4]
    assert one.results(one.submit(5)) == [10]  # and the thread lives


def test_batcher_calls_apart_what_may_not_share(bench: Callable[..., Bench]) -> None:
    one = bench()
    first = one.held()
    rest = one.submit(1, -1, 2, -2)
    one.predictor.open.set()
    assert one.results([first, *rest]) == [0, 2, -2, 4, -4]
    assert sorted(one.predictor.calls[1:]) == [[-1, -2], [1, 2]]


def test_batcher_runs_rows_of_raw_arrays_and_gives_each_its_own(bench: Callable[..., Bench]) -> None:
    one = bench()
    first = one.held()
    blocks = [Work(arrays={"x": np.full((rows, 1), rows, np.float32)}, rows=rows) for rows in (2, 3)]
    one.batcher.submit(blocks)
    one.predictor.open.set()
    one.batcher.close()
    assert one.outcomes[first].result.value == 0
    assert [one.outcomes[work].outputs["y"].tolist() for work in blocks] == [[[4]] * 2, [[6]] * 3]
    assert one.predictor.calls[1:] == [[2, 2, 3, 3, 3]]


def test_batcher_refuses_all_of_a_request_that_does_not_fit(bench: Callable[..., Bench]) -> None:
    one = bench(max_queue=32)
    first = one.held()
    fit = one.submit(*range(20, 50))
    with pytest.raises(QueueFullError) as caught:
        one.submit(1, 2, 3)
    assert caught.value.retry_after_s > 0
    assert one.batcher.waiting == 30
    fit += one.submit(1, 2)
    one.predictor.open.set()
    assert one.results([first, *fit]) == [0, *(2 * number for number in range(20, 50)), 2, 4]


def test_batcher_does_not_compute_what_nobody_waits_for(bench: Callable[..., Bench]) -> None:
    one = bench()
    first = one.held()
    late = one.submit(1, deadline_s=time.monotonic() - 1)
    rest = one.submit(2)
    one.predictor.open.set()
    assert one.results([first, *late, *rest]) == [0, DeadlineError, 4]
    assert one.predictor.calls == [[0], [2]]


def test_batcher_waits_for_a_batch_no_longer_than_it_is_told(bench: Callable[..., Bench]) -> None:
    one = bench(max_wait_ms=10_000, max_batch=3)
    works = one.submit(1) + one.submit(2)
    assert not one.predictor.calls
    works += one.submit(3)
    assert one.results(works) == [2, 4, 6]
    assert one.predictor.calls == [[1, 2, 3]]
    short = bench(max_wait_ms=20)
    begun = time.monotonic()
    assert short.results(short.submit(1)) == [2]
    assert time.monotonic() - begun >= 0.02


def test_batcher_close_answers_what_waits_and_takes_no_more(bench: Callable[..., Bench]) -> None:
    one = bench()
    works = [one.held(1), *one.submit(2, 3)]
    closing = threading.Thread(target=one.batcher.close)
    closing.start()
    one.predictor.open.set()
    closing.join(PATIENCE_S)
    assert one.results(works) == [2, 4, 6]
    with pytest.raises(ClosedError):
        one.submit(4)


def test_batcher_tells_observers_and_survives_them(bench: Callable[..., Bench]) -> None:
    records: list[BatchRecord] = []

    def fails(_: BatchRecord) -> None:
        raise RuntimeError("watching went wrong")

    one = bench(observers=(fails, records.append))
    one.results(one.submit(1, "bad", 3))
    one.results(one.submit(4))
    one.batcher.close()
    assert [record.rows for record in records] == [2, 1]
    assert [type(outcome) for outcome in records[0].outcomes] == [Answer, InputError, Answer]
    assert min(records[0].load_s, records[0].compute_s, records[0].finish_s) > 0


def test_batcher_encodes_only_what_is_asked_for(bench: Callable[..., Bench]) -> None:
    one = bench()
    works = one.submit(1) + one.submit(2, encode=False)
    one.results(works)
    assert [one.outcomes[work].json for work in works] == [b'{"value":2.0}', b""]


def test_batcher_answers_everything_of_many_threads(bench: Callable[..., Bench]) -> None:
    one = bench(workers=3)
    works: dict[int, list[Work]] = {}

    def ask(start: int) -> None:
        works[start] = [one.submit(start + number)[0] for number in range(100)]

    threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for start, mine in works.items():
        assert one.results(mine) == [2 * (start + number) for number in range(100)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param({"a": 1, "b": "é"}, '{"a":1,"b":"é"}', id="compact-and-utf-8"),
        pytest.param([float("nan"), {"a": (float("inf"), 1.5)}], '[null,{"a":[null,1.5]}]', id="not-finite"),
    ],
)
def test_to_json_writes_what_json_has(data: Any, text: str) -> None:
    assert to_json(data).decode() == text
