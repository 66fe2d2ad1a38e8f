"""Feedback: what is taken, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdk.monitor.log_tables import open_tables
from sdk.serve.feedback import MOST, judgements
from sdk.serve.monitor_options import MonitorOptions
from sdk.serve.problems import ProblemError
from tests.sdk.serve.sockets import Reply, ask, picture, post
from tests.served import Running, running


def _body(*entries: Any) -> bytes:
    return json.dumps({"feedback": entries}).encode()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log.db"


@pytest.fixture(scope="module")
def server(light_artifact: Path, log: Path) -> Iterator[Running]:
    with running({"light": light_artifact}, monitor=MonitorOptions(log=str(log))) as server:
        yield server


def _say(server: Running, body: bytes, type_: str = "application/json", name: str = "light") -> Reply:
    return ask(server.place, post(body, type_, name=name).replace(b":predict", b":feedback", 1))


def test_feedback_finds_its_prediction(server: Running, log: Path) -> None:
    answer = ask(server.place, post(picture(255))).json
    assert _say(server, _body({"id": answer["id"], "correct": True})).json == {"recorded": 1}
    named = ask(server.place, post(picture(255), more="X-Request-Id: mine\r\n")).json
    assert named["id"] == "mine"
    for label in ("bright", "dark"):
        assert _say(server, _body({"id": "mine", "item": 0, "label": label})).status == 200
    tables = open_tables(str(log), create=False)
    with tables.engine.connect() as connection:
        rows = connection.execute(tables.feedback.select()).all()
    tables.engine.dispose()
    found = {row.request: (row.model, row.item, row.correct, row.label) for row in rows}
    assert found == {
        answer["id"]: ("light", 0, True, None),
        "mine": ("light", 0, None, "dark"),
    }, "what is said later counts"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"feedback": 3}',
        _body(),
        _body(3),
        _body({"id": "a"}),
        _body({"correct": True}),
        _body({"id": "", "correct": True}),
        _body({"id": "a", "correct": 1}),
        _body({"id": "a", "correct": None}),
        _body({"id": "a", "label": 3}),
        _body({"id": "a", "label": "b" * 201}),
        _body({"id": "a", "item": -1, "correct": True}),
        _body({"id": "a", "item": True, "correct": True}),
        _body({"id": "a", "item": None, "correct": True}),
        _body({"id": "a", "item": 2**31, "correct": True}),
        _body({"id": "a\0", "correct": True}),
        _body({"id": "\ud800", "correct": True}),
        _body({"id": "a", "correct": True, "more": 1}),
    ],
)
def test_feedback_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        judgements(body)
    assert caught.value.status == 400


def test_too_much_feedback_is_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        judgements(_body(*({"id": str(at), "correct": True} for at in range(MOST + 1))))
    assert caught.value.status == 413


def test_of_two_judgements_of_one_item_the_last_counts() -> None:
    found = judgements(
        _body({"id": "a", "correct": True}, {"id": "a", "correct": False}, {"id": "b", "label": ""})
    )
    assert [(row["request"], row["correct"], row["label"]) for row in found] == [
        ("a", False, None), ("b", None, ""),
    ]  # fmt: skip


def test_feedback_is_refused_over_http(server: Running) -> None:
    good = _body({"id": "a", "correct": True})
    replies = {
        "type": _say(server, good, "text/plain"),
        "model": _say(server, good, name="other"),
        "form": _say(server, b"{}"),
        "size": _say(server, b" " * 1024**2 + good),
    }
    assert {name: reply.status for name, reply in replies.items()} == {
        "type": 415, "model": 404, "form": 400, "size": 413,
    }  # fmt: skip
    assert all(reply.headers["content-type"] == "application/problem+json" for reply in replies.values())


def test_feedback_without_a_log_is_404(light_artifact: Path) -> None:
    with running({"light": light_artifact}) as server:
        reply = _say(server, _body({"id": "a", "correct": True}))
    assert reply.status == 404
    assert "Serve with --log" in reply.json["detail"]


def test_feedback_that_cannot_be_written_is_503(light_artifact: Path, tmp_path: Path) -> None:
    where = tmp_path / "log.db"
    with running({"light": light_artifact}, monitor=MonitorOptions(log=str(where))) as server:
        tables = open_tables(str(where), create=False)
        tables.feedback.drop(tables.engine)
        tables.engine.dispose()
        reply = _say(server, _body({"id": "a", "correct": True}))
    assert reply.status == 503
    assert reply.headers["retry-after"] == "5"
