"""Texts as they are written, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.client import Client, LateError, RequestError
from sdk.predictor import Predictor
from sdk.serve.batching import ClosedError
from sdk.serve.generate_route import MOST_AT_ONCE
from sdk.serve.leases import Leases
from tests.served import Running, running

WORDS = ["one", " two", " three"]


class _Writer:
    """Writes `WORDS`, and waits before the last of them until it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()

    def generate(self, prompt: str, *, stream: bool, **options: Any) -> Any:
        assert stream
        if prompt == "bad":
            raise ValueError("inside")
        return _Text(prompt, options, self.let)


class _Text:
    def __init__(self, prompt: str, options: dict[str, Any], let: threading.Event) -> None:
        self._words = iter([prompt, *WORDS])
        self._left, self._let, self._options = len(WORDS) + 1, let, options

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._left == 1:
            assert self._let.wait(10)
        self._left -= 1
        return next(self._words)

    @property
    def result(self) -> Any:
        return SimpleNamespace(to_dict=lambda: {"text": "".join(WORDS), "options": self._options})


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> _Writer:
    """In place of what the light artifact can, behind a real server."""
    writer = _Writer()
    monkeypatch.setattr(
        Predictor, "generate", lambda _, prompt, **options: writer.generate(prompt, **options)
    )
    monkeypatch.setattr("sdk.outputs.classification.ClassificationOutput.writes", True)
    return writer


@pytest.fixture
def server(light_artifact: Path, writer: _Writer) -> Iterator[Running]:
    with running({"light": light_artifact}, deadline_ms=5000.0) as server:
        try:
            yield server
        finally:
            writer.let.set()


def test_pieces_come_before_the_text_is_finished(server: Running, writer: _Writer) -> None:
    with Client(server.address) as client:
        pieces = client.generate("light", "zero ")
        first = [next(pieces) for _ in WORDS]
        assert first == ["zero ", "one", " two"]
        writer.let.set()
        assert list(pieces) == [" three"]
        assert [model["name"] for model in client.models()] == ["light"]  # the connection goes on


def test_whole_text_comes_as_json(server: Running, writer: _Writer) -> None:
    writer.let.set()
    body = json.dumps({"prompt": "p", "stream": False, "seed": 3, "stop": ["."]}).encode()
    with Client(server.address) as client:
        told = client._json(
            "POST", "/v1/models/light:generate", body, {"Content-Type": "application/json"}, None
        )
    assert told["result"] == {"text": "one two three", "options": {"seed": 3, "stop": ["."]}}
    assert told["model"] == "light" and told["id"]


def test_deadline_ends_a_text(server: Running, writer: _Writer) -> None:
    with Client(server.address) as client:
        pieces = client.generate("light", "zero ", deadline_ms=200)
        assert [next(pieces) for _ in WORDS] == ["zero ", "one", " two"]
        threading.Timer(0.4, writer.let.set).start()
        with pytest.raises(LateError, match="deadline"):
            next(pieces)


def test_more_texts_than_threads_are_told_to_come_back(server: Running, writer: _Writer) -> None:
    clients = [Client(server.address, retries=0) for _ in range(MOST_AT_ONCE + 1)]
    texts = [client.generate("light", "zero ") for client in clients]
    assert [next(text) for text in texts[:-1]] == ["zero "] * MOST_AT_ONCE
    with pytest.raises(Exception, match="queue is full"):
        next(texts[-1])
    writer.let.set()
    for text in texts[:-1]:
        assert list(text) == WORDS
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompt": "p", "more": 1}, 400),
        ({"prompt": 5}, 400),
        ([], 400),
        ({"prompt": "p", "stop": 5}, 400),
        ({"prompt": "p", "stream": "yes"}, 400),
        ({"prompt": "bad"}, 500),
    ],
    ids=["unknown", "prompt", "list", "stop", "stream", "bug"],
)
def test_request_of_another_form_is_refused(server: Running, body: Any, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    with Client(server.address) as client, pytest.raises(RequestError) as caught:
        client._json("POST", "/v1/models/light:generate", json.dumps(body).encode(), headers, None)
    assert caught.value.status == status


def test_model_that_writes_nothing_says_so(light_artifact: Path) -> None:
    with (
        running({"light": light_artifact}) as server,
        Client(server.address) as client,
        pytest.raises(RequestError, match="expected a language model"),
    ):
        next(client.generate("light", "p"))


def test_leases_hold_what_would_be_closed() -> None:
    leases, inside, let = Leases(), threading.Event(), threading.Event()

    def work() -> None:
        with leases.held():
            inside.set()
            assert let.wait(10)

    working = threading.Thread(target=work)
    closing = threading.Thread(target=leases.close)
    working.start()
    assert inside.wait(10)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    let.set()
    for thread in (working, closing):
        thread.join(10)
        assert not thread.is_alive()
    with pytest.raises(ClosedError), leases.held():
        pass
