"""Two versions of a model at once: who answers, and who is asked in silence."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from runtimes import ArtifactError, UsageError
from sdk.artifact import read_artifact, write_artifact
from sdk.monitor.log_reading import read_log
from sdk.monitor.log_tables import AB, MAIN, SHADOW, open_tables
from sdk.monitor.split import compare_versions
from sdk.serve.batching import Batcher
from sdk.serve.monitor_options import Challenger, MonitorOptions, challengers
from sdk.serve.options import Batching
from tests.light_embedding import write_light_embedding
from tests.sdk.serve.sockets import PATIENCE_S, ask, picture, post
from tests.served import Running, running

SHARE = 0.3


@pytest.fixture(scope="module")
def contrary(light_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The light artifact with its two answers exchanged."""
    artifact = read_artifact(light_artifact)
    model = onnx.load_from_string(artifact.payload)
    (joined,) = (node for node in model.graph.node if node.op_type == "Concat")
    joined.input[:] = ["dark", "bright"]
    path = tmp_path_factory.mktemp("contrary") / "contrary.onnx"
    write_artifact(path, model.SerializeToString(), artifact.manifest)
    return path


@pytest.fixture
def monitor(contrary: Path, tmp_path: Path) -> MonitorOptions:
    return MonitorOptions(
        log=str(tmp_path / "log.db"),
        challengers=(Challenger("light", contrary, SHARE), Challenger("light", contrary)),
    )


@pytest.fixture
def server(light_artifact: Path, monitor: MonitorOptions) -> Iterator[Running]:
    with running({"light": light_artifact}, monitor=monitor) as server:
        yield server


def _asked(server: Running, client: str) -> Any:
    return ask(server.place, post(picture(255), more=f"X-Client-Id: {client}\r\n")).json


def _metric(server: Running, name: str) -> dict[str, float]:
    text = ask(server.place, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body.decode()
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _eventually(holds: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.01)


def test_clients_are_shared_and_stay_with_their_version(
    server: Running, light_artifact: Path, contrary: Path
) -> None:
    versions = {path: read_artifact(path).manifest.payload_sha256[:12] for path in (light_artifact, contrary)}
    first = {str(client): _asked(server, str(client)) for client in range(100)}
    again = {client: _asked(server, client) for client in first}
    by_client = {client: answer["version"] for client, answer in first.items()}
    assert {client: answer["version"] for client, answer in again.items()} == by_client
    count = list(by_client.values()).count(versions[contrary])
    assert 15 <= count <= 45, "30 are expected"
    labels = {answer["version"]: answer["results"][0]["label"] for answer in first.values()}
    assert labels == {versions[light_artifact]: "bright", versions[contrary]: "dark"}


def test_log_tells_the_routes_apart(server: Running, monitor: MonitorOptions) -> None:
    for client in range(60):
        _asked(server, str(client))
    server.end()
    tables = open_tables(str(monitor.log), create=False)
    rows = {route: read_log(tables, routes=(route,)) for route in (MAIN, AB, SHADOW)}
    report = compare_versions(tables, "light")
    tables.engine.dispose()
    assert len(rows[MAIN]) + len(rows[AB]) == len(rows[SHADOW]) == 60
    assert {row.request for row in rows[SHADOW]} == {row.request for row in rows[MAIN] + rows[AB]}
    (agreement,) = report.agreements.values()
    assert agreement.same == len(rows[AB]), "the shadow is the A/B version, and contradicts the other"


def test_shadow_is_compared_in_metrics(server: Running) -> None:
    for client in range(40):
        _asked(server, str(client))

    def counted() -> dict[str, float]:
        found = _metric(server, "edgewright_shadow_items_total")
        return {word: sum(v for k, v in found.items() if f'"{word}"' in k) for word in ("agrees", "differs")}

    _eventually(lambda: sum(counted().values()) == 40)
    assert counted()["differs"] > counted()["agrees"] > 0


def test_shadow_can_neither_delay_nor_spoil_an_answer(
    light_artifact: Path, contrary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine hangs until the answers are there, its queue is full, and then it fails."""
    go = threading.Event()
    answers = Batcher._answers

    def failing(self: Batcher, works: Any, laps: Any) -> list[Any]:
        if works[0].origin.route == SHADOW:
            go.wait(PATIENCE_S)
            raise MemoryError
        return answers(self, works, laps)

    monkeypatch.setattr(Batcher, "_answers", failing)
    monitor = MonitorOptions(challengers=(Challenger("light", contrary),))
    with running({"light": light_artifact}, monitor=monitor, batching=Batching(4, 0.0, 4)) as server:
        found = [_asked(server, "a")["results"][0]["label"] for _ in range(20)]
        assert found == ["bright"] * 20
        dropped = _metric(server, "edgewright_shadow_items_total")
        assert sum(value for name, value in dropped.items() if '"dropped"' in name) >= 10
        go.set()
        _eventually(
            lambda: any('"failed"' in name for name in _metric(server, "edgewright_shadow_items_total"))
        )
        assert _asked(server, "a")["results"][0]["label"] == "bright"


def test_server_that_ends_does_not_wait_for_its_shadow(
    light_artifact: Path, contrary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, answers, abandon, asked = threading.Event(), Batcher._answers, Batcher.abandon, []

    def slow(self: Batcher, works: Any, laps: Any) -> list[Any]:
        if works[0].origin.route == SHADOW:
            asked.append(works)
            go.wait(PATIENCE_S)
        return answers(self, works, laps)

    def abandoned(self: Batcher) -> int:
        forgotten = abandon(self)
        go.set()
        return forgotten

    monkeypatch.setattr(Batcher, "_answers", slow)
    monkeypatch.setattr(Batcher, "abandon", abandoned)
    monitor = MonitorOptions(challengers=(Challenger("light", contrary),))
    with running({"light": light_artifact}, monitor=monitor, batching=Batching(1, 0.0, 50)) as server:
        for client in range(10):
            _asked(server, str(client))
        _eventually(lambda: asked)
        assert server.end() == 0
    assert len(asked) == 1, "nine waited, and were forgotten"


def test_several_items_of_a_request_stay_together(server: Running, monitor: MonitorOptions) -> None:
    items = [{"base64": base64.b64encode(picture(shade)).decode()} for shade in (0, 255, 0)]
    reply = ask(server.place, post(json.dumps({"items": items}).encode(), "application/json"))
    assert len(reply.json["results"]) == 3
    server.end()
    tables = open_tables(str(monitor.log), create=False)
    rows = read_log(tables)
    tables.engine.dispose()
    assert [(row.request, row.item) for row in rows] == [(reply.json["id"], at) for at in range(3)]


def test_challenger_of_another_kind_is_refused(light_artifact: Path, tmp_path: Path) -> None:
    other = write_light_embedding(tmp_path / "other.onnx")
    monitor = MonitorOptions(challengers=(Challenger("light", other, 0.5),))
    refusal = pytest.raises(UsageError, match=r"Challenger 'other\.onnx': got inputs and outputs of kinds")
    with refusal, running({"light": light_artifact}, monitor=monitor):
        pass


@pytest.mark.parametrize("share", [None, 0.5], ids=["shadow", "ab"])
def test_challenger_that_is_not_there_is_refused(light_artifact: Path, share: float | None) -> None:
    monitor = MonitorOptions(challengers=(Challenger("light", Path("gone.onnx"), share),))
    with (
        pytest.raises(ArtifactError, match=r"gone\.onnx"),
        running({"light": light_artifact}, monitor=monitor),
    ):
        pass


def test_challengers_are_read_from_words() -> None:
    found = challengers(["shop=new:v2.onnx:0.1"], ["shop=next.onnx"], ["shop"])
    assert found == (Challenger("shop", Path("new:v2.onnx"), 0.1), Challenger("shop", Path("next.onnx")))


@pytest.mark.parametrize(
    ("ab", "shadow", "message"),
    [
        (["shop=a.onnx"], [], "Option --ab: got 'shop=a.onnx', expected NAME=FILE:SHARE"),
        (["shop=a.onnx:1.5"], [], "Option --ab"),
        (["shop=a.onnx:nan"], [], "Option --ab"),
        (["shop=a.onnx:much"], [], "Option --ab"),
        (["a.onnx:0.5"], [], "Option --ab"),
        ([], ["a.onnx"], "Option --shadow: got 'a.onnx', expected NAME=FILE"),
        ([], ["other=a.onnx"], "Option --shadow: got 'other', expected one of shop, once"),
        ([], ["shop=a.onnx", "shop=b.onnx"], "Option --shadow: got 'shop'"),
    ],
)
def test_challengers_that_make_no_sense(ab: list[str], shadow: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        challengers(ab, shadow, ["shop"])


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"log_share": 0.0}, "--log-share"),
        ({"window": 10}, "--drift-window"),
        ({"psi": 0.0}, "--drift-psi"),
        ({"on_drift": "true"}, "--on-drift"),
    ],
)
def test_monitor_options_that_make_no_sense(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"Option {option}: got"):
        replace(MonitorOptions(), **changes)
