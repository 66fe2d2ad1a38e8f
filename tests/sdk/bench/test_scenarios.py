"""Scenarios: who is asked, how often, and what counts as waiting. Sleeps end late, never early."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes import InputError
from sdk.bench import BenchOptions
from sdk.bench.scenarios import Offline, Server, SingleStream, open_scenario
from tests.sdk.bench.conftest import stub_predictor

SLEEP_S = 0.01
ITEMS = ["a", "b", "c"]


def server(predict: Any, due: list[float], monkeypatch: pytest.MonkeyPatch, workers: int = 1) -> Server:
    scenario = Server(
        stub_predictor(predict), ITEMS, BenchOptions(scenario="server", rate=10.0, workers=workers)
    )
    monkeypatch.setattr(scenario, "_arrivals", lambda _: np.asarray(due))
    return scenario


def test_single_stream_takes_items_in_turn_and_goes_on_where_it_was() -> None:
    seen: list[str] = []
    scenario = SingleStream(stub_predictor(seen.append), ITEMS, BenchOptions())

    first = scenario.block(1e-9)
    scenario.call()
    second = scenario.block(0.002)

    assert len(first.durations_s) == first.items == 1
    assert len(second.durations_s) == second.items == len(seen) - 2
    assert seen == [ITEMS[at % 3] for at in range(len(seen))]


def test_single_stream_times_the_whole_call() -> None:
    block = SingleStream(stub_predictor(lambda _: time.sleep(SLEEP_S)), ITEMS, BenchOptions()).block(0.03)

    assert block.durations_s.min() >= SLEEP_S
    assert block.span_s >= block.durations_s.sum()


def test_offline_asks_for_batches() -> None:
    seen: list[list[str]] = []
    scenario = Offline(stub_predictor(seen.append, batch_size=4), ITEMS, BenchOptions(scenario="offline"))

    block = scenario.block(0.002)

    assert scenario.batch == 4
    assert seen[:2] == [["a", "b", "c", "a"], ["b", "c", "a", "b"]]
    assert block.items == 4 * len(block.durations_s)


def test_offline_takes_a_batch_of_its_own() -> None:
    options = BenchOptions(scenario="offline", batch=2)

    assert Offline(stub_predictor(lambda _: None), ITEMS, options).next() == ["a", "b"]


def test_server_charges_the_wait_behind_others(monkeypatch: pytest.MonkeyPatch) -> None:
    block = server(lambda _: time.sleep(SLEEP_S), [0.0, 0.0, 0.0], monkeypatch).block(1.0)

    assert (block.durations_s >= [SLEEP_S, 2 * SLEEP_S, 3 * SLEEP_S]).all()
    assert (block.items, block.given_up) == (3, 0)


def test_server_counts_from_the_arrival_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    start = time.perf_counter()
    block = server(lambda _: began.append(time.perf_counter() - start), [0.0, 0.05], monkeypatch).block(1.0)

    assert began[1] >= 0.05
    assert (block.durations_s > 0).all()


def test_server_with_two_workers_answers_two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)

    block = server(lambda _: both.wait(), [0.0, 0.0], monkeypatch, workers=2).block(1.0)

    assert block.items == 2


def test_server_gives_up_what_waits_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    block = server(lambda _: time.sleep(SLEEP_S), [0.0] * 200, monkeypatch).block(0.02)

    assert block.given_up > 0
    assert block.items + block.given_up == 200


def test_server_passes_an_error_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(item: str) -> None:
        raise InputError(item, got="it", expected="another", fix="Change it.")

    with pytest.raises(InputError, match="a: got it"):
        server(refuse, [0.0], monkeypatch).block(1.0)


def test_arrivals_are_a_poisson_process() -> None:
    rate, seconds = 200.0, 100.0
    scenario = Server(stub_predictor(None), ITEMS, BenchOptions(scenario="server", rate=rate, seed=1))
    due = scenario._arrivals(seconds)
    gaps = np.diff(due)

    # 20,000 arrivals: their number is within 3 %, four standard errors; gaps vary as much as they are long.
    assert len(due) / seconds == pytest.approx(rate, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.05)
    assert due[-1] < seconds
    assert (gaps > 0).all()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (BenchOptions(), SingleStream),
        (BenchOptions(scenario="offline"), Offline),
        (BenchOptions(scenario="server", rate=5), Server),
    ],
    ids=lambda value: getattr(value, "scenario", ""),
)
def test_open_scenario_takes_the_named_one(options: BenchOptions, kind: type) -> None:
    assert type(open_scenario(stub_predictor(None), ITEMS, options)) is kind


@pytest.mark.parametrize("scenario", ["single-stream", "offline", "server"])
def test_tokens_of_written_texts_are_counted(scenario: str) -> None:
    written = {"a": SimpleNamespace(tokens=3), "b": SimpleNamespace(tokens=5)}

    def predict(what: str | list[str]) -> Any:
        return written[what] if isinstance(what, str) else [written[item] for item in what]

    predictor = stub_predictor(predict, writes=True)
    options = BenchOptions(scenario=scenario, rate=2000.0 if scenario == "server" else None)
    block = open_scenario(predictor, ["a", "b"], options).block(0.01)
    odd = block.items % 2
    assert block.tokens == 8 * (block.items // 2) + 3 * odd
    assert block.items > 1
