"""The client, against a real server and against one that misbehaves."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdk.client import (
    BusyError,
    Client,
    LateError,
    NotAllowedError,
    RequestError,
    UnreachableError,
)
from tests.sdk.serve.sockets import picture
from tests.served import served

KEY = "a-key-that-is-long-enough"
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n{"model":"m","version":"v","results":[{}],"id":"x"}\n'
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: %b\r\nContent-Length: 17\r\n\r\n" + b'{"detail":"busy"}'
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def server(light_artifact: Path) -> Iterator[str]:
    with served({"light": light_artifact}) as address:
        yield address


def test_pictures_of_every_form_are_answered(server: str, tmp_path: Path) -> None:
    (tmp_path / "dark.png").write_bytes(picture(0))
    items = [picture(255), tmp_path / "dark.png"]
    with Client(server) as client:
        assert client.is_ready()
        assert [model["name"] for model in client.models()] == ["light"]
        one, both = client.predict("light", items[0]), client.predict("light", *items)
    assert [result["label"] for result in one.results] == ["bright"]
    assert [result["label"] for result in both.results] == ["bright", "dark"]
    assert one.version == both.version and one.model == "light"
    assert one.id and one.id != both.id


def test_bytes_beside_other_items_are_sent_as_json(server: str) -> None:
    with Client(server) as client, pytest.raises(RequestError, match="base64") as caught:
        client.predict("light", picture(255), "a string is a text, and this model takes none")
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("model", "item", "status"), [("none", b"x", 404), ("light", b"no picture", 422)], ids=["model", "item"]
)
def test_refusals_are_not_repeated(server: str, model: str, item: bytes, status: int) -> None:
    with Client(server) as client:
        with pytest.raises(RequestError) as caught:
            client.predict(model, item)
        assert caught.value.status == status
        assert client.predict("light", picture(0)).results[0]["label"] == "dark"


def test_key_is_asked_for(light_artifact: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n", encoding="utf-8")
    with served({"light": light_artifact}, api_keys=keys) as address:
        with Client(address) as stranger, pytest.raises(NotAllowedError):
            stranger.predict("light", picture(0))
        with Client(address, api_key=KEY) as friend:
            assert friend.predict("light", picture(0)).results[0]["label"] == "dark"


def _request(connected: socket.socket) -> bytes:
    """All of it: its head and the body ``x`` come in two pieces."""
    heard = b""
    while not heard.endswith(b"\r\n\r\nx"):
        part = connected.recv(65536)
        assert part
        heard += part
    return heard


@contextmanager
def _told(answers: Sequence[bytes | None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers in turn; None: it hangs up. Also gives the requests' heads."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)

        def answer() -> None:
            connected: socket.socket | None = None
            for said in answers:
                if connected is None:
                    connected = listening.accept()[0]
                    connected.settimeout(PATIENCE_S)
                heads.append(_request(connected))
                if said is None:
                    connected.close()
                    connected = None
                else:
                    connected.sendall(said)
            if connected is not None:
                connected.recv(1)
                connected.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads
        finally:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_busy_server_is_asked_again_when_it_said() -> None:
    with _told([BUSY % b"0.2", BUSY % b"0", OK]) as (address, heads), Client(address) as client:
        begun = time.monotonic()
        assert client.predict("m", b"x").version == "v"
        assert time.monotonic() - begun >= 0.2
    identities = {line for head in heads for line in head.split(b"\r\n") if line.startswith(b"X-Request-Id")}
    assert (len(heads), len(identities)) == (3, 1)  # the same request


def test_retries_end() -> None:
    with (
        _told([BUSY % b"0"] * 3) as (address, heads),
        Client(address, retries=2) as client,
        pytest.raises(BusyError, match="busy") as caught,
    ):
        client.predict("m", b"x")
    assert (len(heads), caught.value.status) == (3, 503)


def test_wait_beyond_the_deadline_is_not_begun() -> None:
    with _told([BUSY % b"60"]) as (address, _), Client(address, deadline_ms=500) as client:
        begun = time.monotonic()
        with pytest.raises(BusyError):
            client.predict("m", b"x")
        assert time.monotonic() - begun < PATIENCE_S


def test_connection_that_broke_is_opened_again() -> None:
    with _told([None, OK]) as (address, heads), Client(address) as client:
        assert client.predict("m", b"x").version == "v"
    assert len(heads) == 2


def test_silence_ends_with_the_deadline() -> None:
    with (
        _told([b""]) as (address, _),
        Client(address, deadline_ms=100) as client,
        pytest.raises(LateError),
    ):
        client.predict("m", b"x")


def test_nobody_there_is_said_in_a_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with Client(f"http://127.0.0.1:{probe.getsockname()[1]}", retries=1) as client:
            assert not client.is_ready()
            with pytest.raises(UnreachableError, match="cannot be reached"):
                client.predict("m", b"x")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_url_has_to_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="expected http"):
        Client(url)


def test_client_needs_the_standard_library_alone() -> None:
    script = (
        "import sys, sdk.client; print([n for n in sys.modules if n.split('.')[0] in "
        "('numpy', 'PIL', 'fastapi', 'starlette', 'httpx')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
