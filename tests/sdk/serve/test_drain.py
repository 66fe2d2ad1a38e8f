"""The end of a server: everything that it took is answered."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sdk.serve.listener import Listener
from sdk.serve.options import ServeOptions
from sdk.serve.server import bind
from tests.sdk.serve.askers import asking
from tests.sdk.serve.processes import READY_S, command
from tests.sdk.serve.sockets import READY, ask, line_to, picture, post
from tests.served import running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_signal_under_load_answers_every_request_and_exits_with_0(light_artifact: Path, number: int) -> None:
    with command(light_artifact, "--grace-s", "0.3") as server, asking(server.place(), 6) as askers:
        askers.wait_for(50)
        server.send(number)
        assert server.end() == 0
        askers.stop()
        assert set(askers.counts) <= {"200", "refused"}, (askers.counts, askers.wrong)
        assert len(server.lines) == 1  # nothing went wrong that was worth a line


def test_second_signal_ends_it_at_once(light_artifact: Path) -> None:
    with command(light_artifact) as server, line_to(server.place()) as line:
        line.send(post(picture(1))[:-10])  # an answer that it would wait for
        server.send(signal.SIGTERM)
        _wait_until_not_ready(server.place())
        server.send(signal.SIGTERM)
        assert server.end() == 1
        assert server.lines[-1] == "edgewright: ended at once."


def test_ending_server_says_so_and_answers(light_artifact: Path) -> None:
    with running({"light": light_artifact}, grace_s=1.0) as server, line_to(server.place) as line:
        line.send(READY)
        assert "connection" not in line.reply().headers
        server.order(server.orders.end)
        _wait_until_not_ready(server.place)
        line.send(post(picture(250)))
        reply = line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert line.closed()
        assert server.end() == 0


def test_ending_server_waits_for_a_request_that_is_being_sent(light_artifact: Path) -> None:
    asked = post(picture(250))
    with running({"light": light_artifact}) as server, line_to(server.place) as line:
        line.send(asked[:-10])
        _wait_until_busy(server.place)
        server.order(server.orders.end)
        _wait_until_refused(server.place)
        line.send(asked[-10:])
        assert line.reply().status == 200
        assert server.end() == 0


def test_ending_server_gives_up_after_its_time(light_artifact: Path) -> None:
    with running({"light": light_artifact}, drain_s=0.2) as server, line_to(server.place) as line:
        line.send(post(picture(250))[:-10])
        _wait_until_busy(server.place)
        assert server.end() == 1
        assert line.closed()


def test_server_whose_time_is_up_ends_with_1_and_says_so(light_artifact: Path) -> None:
    words = ("--grace-s", "0", "--drain-s", "0.2")
    with command(light_artifact, *words) as server, line_to(server.place()) as line:
        line.send(post(picture(250))[:-10])
        _wait_until_busy(server.place())
        server.send(signal.SIGTERM)
        assert server.end() == 1
        assert '"event": "ended", "unanswered_connections": 1' in "\n".join(server.lines)


def test_listener_answers_what_waited_to_be_accepted() -> None:
    async def hello(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"hi"})

    async def end_with_some_waiting() -> list[int]:
        bound = bind("127.0.0.1", 0)
        place = bound.getsockname()
        listener = Listener(hello, ServeOptions())
        await listener.start(bound)
        with ExitStack() as stack:
            lines = [stack.enter_context(line_to(place)) for _ in range(5)]
            for line in lines:  # the loop, which would accept them, is busy here
                line.send(READY)
            assert await listener.drain(0.0, 10.0) == 0
            return [line.reply().status for line in lines]

    assert asyncio.run(end_with_some_waiting()) == [200] * 5


def _wait_until_not_ready(place: tuple[str, int]) -> None:
    _wait(lambda: ask(place, READY).status == 503)


def _wait_until_refused(place: tuple[str, int]) -> None:
    def refused() -> bool:
        try:
            ask(place, READY)
        except (EOFError, OSError):
            return True
        return False

    _wait(refused)


def _wait_until_busy(place: tuple[str, int]) -> None:
    """Until the loop has certainly read what was sent before: it answers what was sent after."""
    for _ in range(2):
        ask(place, READY)


def _wait(holds: Any) -> None:
    until = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
