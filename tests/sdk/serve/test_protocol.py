"""What a connection may take, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sdk.serve.listener import Listener
from sdk.serve.options import Connections, ServeOptions
from sdk.serve.server import bind
from tests.sdk.serve.sockets import PATIENCE_S, READY, ask, line_to, picture, post
from tests.served import Running, running

SHORT_S = 0.3
"""Of every bound in time: long against a pass of the loop, short for a test."""
MOST_BODY = 4096
BOUNDS = Connections(
    most=4, header_s=SHORT_S, header_bytes=2048, body_s=SHORT_S, idle_s=SHORT_S, held_bytes=6000
)


@pytest.fixture(scope="module")
def server(light_artifact: Path) -> Iterator[Running]:
    with running({"light": light_artifact}, connections=BOUNDS, max_body_bytes=MOST_BODY) as server:
        yield server


@pytest.fixture(autouse=True)
def _nobody_is_connected(server: Running) -> None:
    """Connections of the test before may be counted until the loop has seen their end."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            with ExitStack() as stack:
                lines = [stack.enter_context(line_to(server.place)) for _ in range(BOUNDS.most)]
                for line in lines:
                    line.send(READY)
                if all(line.reply().status == 200 for line in lines):
                    return
        except (EOFError, ConnectionError):
            pass
    pytest.fail("connections are not given back")


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"GET /health/ready HT", id="in-the-first-line"),
        pytest.param(b"GET /health/ready HTTP/1.1\r\nHost: a\r\nX-A: b", id="in-a-header"),
        pytest.param(post(picture(9))[:-20], id="in-the-body"),
        pytest.param(
            b"POST /v1/models/light:predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
            id="in-a-chunk",
        ),
    ],
)
def test_request_that_stops_is_answered_408_and_closed(server: Running, begun: bytes) -> None:
    with line_to(server.place) as line:
        line.send(begun)
        reply = line.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert reply.headers["content-type"] == "application/problem+json"
        assert "Send it faster" in reply.json["detail"]
        assert line.closed()


def test_request_that_trickles_is_answered_408(server: Running) -> None:
    with line_to(server.place) as line:
        line.socket.settimeout(SHORT_S / 10)
        for byte in READY * 10:
            line.send(bytes([byte]))
            try:
                first = line.socket.recv(12)
            except TimeoutError:
                continue
            break
    assert first == b"HTTP/1.1 408"


def test_connection_that_says_nothing_is_closed(server: Running) -> None:
    with line_to(server.place) as line:
        assert line.closed()


def test_connection_that_is_idle_is_closed(server: Running) -> None:
    with line_to(server.place) as line:
        line.send(READY)
        assert line.reply().status == 200
        assert line.closed()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(f"Content-Length: {MOST_BODY + 1}\r\n", id="declared"),
        pytest.param("Content-Length: 99999999999999999999\r\n", id="declared-without-end"),
        pytest.param("Transfer-Encoding: chunked\r\n", id="chunked"),
    ],
)
def test_body_that_is_too_large_is_refused_while_it_is_sent(server: Running, head: str) -> None:
    with line_to(server.place) as line:
        start = f"POST /v1/models/light:predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n{head}\r\n"
        line.send(start.encode())
        if "chunked" in head:
            piece = b"400\r\n" + b"a" * 1024 + b"\r\n"
            line.send(piece * (MOST_BODY // 1024 + 1))
        reply = line.reply()
        assert reply.status in ((400, 413) if "9999" in head else (413,))
        assert reply.headers["connection"] == "close"


def test_refusal_is_read_by_a_client_that_sends_on(server: Running) -> None:
    """Closed at once, its system would throw the answer away."""
    with line_to(server.place) as line:
        line.send(post(b"a" * (MOST_BODY + 1)))
        for _ in range(20):
            line.send(b"a" * 1024)
        assert line.reply().status == 413


def test_headers_that_are_too_large_are_refused(server: Running) -> None:
    reply = ask(server.place, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 4000)
    assert (reply.status, reply.json["title"]) == (431, "Headers too large")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="tls"),
        pytest.param(b"hello\r\n\r\n", id="words"),
        pytest.param(b"GET \xff HTTP/1.1\r\nHost: a\r\n\r\n", id="address-not-ascii"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", id="connect"),
        pytest.param(b"GET / HTTP/1.1\r\nHost a\r\n\r\n", id="header-without-colon"),
        pytest.param(
            post(b"ab").replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
            id="two-lengths",
        ),
        pytest.param(post(b"ab").replace(b"Length: 2", b"Length: -2"), id="negative-length"),
    ],
)
def test_malformed_request_is_answered_400(server: Running, data: bytes) -> None:
    reply = ask(server.place, data)
    assert reply.status == 400
    assert reply.headers["content-type"] == "application/problem+json"


def test_request_before_a_malformed_one_is_answered_and_alone(server: Running) -> None:
    with line_to(server.place) as line:
        line.send(post(picture(250)) + b"hello\r\n\r\n")
        assert line.reply().json["results"][0]["label"] == "bright"
        assert line.closed()


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    with line_to(server.place) as line:
        line.send(b"".join(post(picture(grey)) for grey in (250, 5, 240, 10)))
        labels = [line.reply().json["results"][0]["label"] for _ in range(4)]
    assert labels == ["bright", "dark", "bright", "dark"]


def test_client_that_closed_its_own_direction_is_answered(server: Running) -> None:
    with line_to(server.place) as line:
        line.send(post(picture(250)))
        line.socket.shutdown(socket.SHUT_WR)
        assert line.reply().status == 200
        assert line.closed()


def test_request_after_one_that_was_refused_early_is_answered(server: Running) -> None:
    with line_to(server.place) as line:
        whole = post(b"<a/>" * 100, "application/xml")
        line.send(whole[:200])
        assert line.reply().status == 415
        line.send(whole[200:] + post(picture(250)))
        assert line.reply().status == 200


def test_upgrade_is_not_taken_and_the_request_is_answered(server: Running) -> None:
    with line_to(server.place) as line:
        asked = post(picture(250), more="Connection: Upgrade\r\nUpgrade: h2c\r\n")
        line.send(asked[:-30])
        line.send(asked[-30:] + READY)
        assert line.reply().json["results"][0]["label"] == "bright"
        assert line.reply().status == 200


def test_connections_over_the_bound_are_told_so(server: Running) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(line_to(server.place)) for _ in range(BOUNDS.most)]
        for line in lines:
            line.send(READY)
            assert line.reply().status == 200
        more = stack.enter_context(line_to(server.place))
        reply = more.reply()
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        lines[0].send(READY)
        assert lines[0].reply().status == 200


def test_bytes_that_all_connections_hold_are_bounded(server: Running) -> None:
    with ExitStack() as stack:
        halves = [stack.enter_context(line_to(server.place)) for _ in range(2)]
        for line in halves:
            line.send(post(b"a" * 4000)[:-10])
        statuses = [line.reply().status for line in halves]
    assert sorted(statuses) == [408, 429]
    assert ask(server.place, post(b"a" * 4000)).status == 422  # what they held is given back


def test_refusals_are_counted_by_reason(server: Running) -> None:
    def malformed() -> float:
        lines = ask(server.place, READY.replace(b"health/ready", b"metrics")).body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'reason="malformed"' in line)

    before = malformed()
    ask(server.place, b"hello\r\n\r\n")
    assert malformed() == before + 1


def test_client_that_does_not_read_is_given_up() -> None:
    async def answer_at_length(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"a" * 100_000, "more_body": True})

    async def ask_and_wait() -> None:
        options = ServeOptions(connections=Connections(stall_s=SHORT_S))
        bound = bind("127.0.0.1", 0)
        place = bound.getsockname()
        listener = Listener(answer_at_length, options)
        await listener.start(bound)
        with line_to(place) as line:
            line.send(READY)
            await asyncio.wait_for(_seen(listener, True), PATIENCE_S)
            await asyncio.wait_for(_seen(listener, False), PATIENCE_S)
        listener.abort()

    asyncio.run(ask_and_wait())


async def _seen(listener: Listener, connected: bool) -> None:
    while bool(listener.connections) is not connected:
        await asyncio.sleep(0.01)
