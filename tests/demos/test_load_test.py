"""The load test sees what goes wrong."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demos.load_clients import Load, Question
from demos.load_questions import same
from demos.load_test import main
from tests.sdk.serve.sockets import picture
from tests.served import running

CLIENTS = 8
ASKED = 400
DEADLINE_MS = 10_000.0
PATIENCE_S = 10.0


def _question(label: str, level: int) -> Question:
    def right(answer: Any) -> bool:
        return [result["label"] for result in answer["results"]] == [label]

    return Question("/v1/models/light:predict", "image/png", picture(level), right)


QUESTIONS = [_question("bright", 255), _question("dark", 0), _question("dark", 20)]


def test_every_answer_of_a_real_server_is_right(light_artifact: Path) -> None:
    with running({"light": light_artifact}) as server:
        report = Load(server.place, QUESTIONS, clients=CLIENTS).run(seconds=60, requests=ASKED)
    assert (report.right, report.wrong, report.lost, report.unreachable) == (ASKED, 0, 0, 0)
    assert report.clean and not report.failed and not report.refused
    assert len(report.latencies_ms) == ASKED
    assert 0 < report.percentile_ms(0.5) <= report.percentile_ms(0.99) <= report.percentile_ms(1.0)
    assert json.loads(json.dumps(report.to_dict()))["right"] == ASKED
    assert "400 right answers" in report.summary()


@pytest.mark.slow
def test_many_clients_get_every_answer_before_the_deadline(light_artifact: Path) -> None:
    with running({"light": light_artifact}, deadline_ms=DEADLINE_MS) as server:
        report = Load(server.place, QUESTIONS, clients=64).run(seconds=20)
    assert report.clean and not report.refused, report.summary()
    assert report.percentile_ms(0.99) < DEADLINE_MS


def test_artifact_that_is_not_there_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.onnx"), "--url", "http://127.0.0.1:1"]) == 2
    assert "none.onnx" in capsys.readouterr().err


def test_artifact_without_samples_is_refused(
    light_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(light_artifact), "--url", "http://127.0.0.1:1"]) == 2
    assert "golden samples" in capsys.readouterr().err


def test_swapped_answers_are_seen(light_artifact: Path) -> None:
    lies = [*QUESTIONS, _question("bright", 10)]
    with running({"light": light_artifact}) as server:
        report = Load(server.place, lies, clients=CLIENTS).run(seconds=60, requests=ASKED)
    assert report.wrong > 0 and report.right + report.wrong == ASKED and not report.clean


@contextmanager
def _server(said: bytes) -> Iterator[tuple[str, int]]:
    """Gives every connection this once, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connected = listening.accept()[0]
                except OSError:
                    return
                with connected:
                    connected.settimeout(PATIENCE_S)
                    connected.recv(1 << 16)
                    connected.sendall(said)
                    connected.shutdown(socket.SHUT_WR)
                    while connected.recv(1 << 16):
                        pass

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (b"", {"lost": 5}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", {"lost": 5}),
        (b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", {"refused": {429: 5}}),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", {"failed": {"500": 5}}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", {"wrong": 5}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!", {"wrong": 5}),
    ],
    ids=["silence", "half", "refused", "failed", "another's", "no json"],
)
def test_what_goes_wrong_is_counted_once(said: bytes, counted: dict[str, Any]) -> None:
    with _server(said) as place:
        report = Load(place, QUESTIONS, clients=1).run(seconds=60, requests=5)
    found = {name: getattr(report, name) for name in ("lost", "refused", "failed", "wrong")}
    assert {name: value for name, value in found.items() if value} == counted
    assert not report.clean and report.right == 0


def test_nobody_there_is_no_lost_request() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        report = Load(probe.getsockname(), QUESTIONS, clients=2).run(seconds=0.1)
    assert report.unreachable > 0 and report.lost == 0 and not report.clean


@pytest.mark.parametrize(
    ("found", "expected", "is_same"),
    [
        ({"a": [1.0005, "x"]}, {"a": (1.0, "x")}, True),
        ({"a": 1.1}, {"a": 1.0}, False),
        ({"a": 1.0}, {"a": 1.0, "b": 2}, False),
        ([1.0], [1.0, 2.0], False),
        ("x", "y", False),
        (None, 1.0, False),
    ],
    ids=["near", "far", "field", "length", "text", "null"],
)
def test_answers_are_compared_with_a_tolerance(found: Any, expected: Any, is_same: bool) -> None:
    assert same(found, expected) is is_same
