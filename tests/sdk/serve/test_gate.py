"""What every request passes, and what is logged of it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdk.serve.access_log import AccessLog, JsonLines
from sdk.serve.exchanges import Exchange
from sdk.serve.gate import Gate
from tests.sdk.serve.sockets import PATIENCE_S, READY, ask, line_to, picture, post
from tests.served import Running, running

SECRET = "what-a-client-sent"


@pytest.fixture(scope="module")
def server(light_artifact: Path) -> Iterator[Running]:
    with running({"light": light_artifact}, access_log=True, max_pixels=1000) as server:
        yield server


def test_answer_repeats_the_request_s_name_and_invents_one_where_there_is_none(server: Running) -> None:
    named = ask(server.place, READY.replace(b"Host", b"X-Request-Id: abc 1\r\nHost"))
    assert named.headers["x-request-id"] == "abc 1"
    invented = [ask(server.place, READY).headers["x-request-id"] for _ in range(3)]
    assert len(set(invented)) == 3
    answered = ask(server.place, post(picture(250), more="X-Request-Id: abc\r\n"))
    assert answered.json["id"] == "abc"


@pytest.mark.parametrize("name", ["a" * 129, "", "\xe9"], ids=["long", "empty", "not-ascii"])
def test_request_with_a_name_that_no_log_should_hold_is_refused(server: Running, name: str) -> None:
    reply = ask(server.place, READY.replace(b"Host", f"X-Request-Id: {name}\r\nHost".encode("latin-1")))
    assert (reply.status, reply.json["detail"][:12]) == (400, "X-Request-Id")
    assert reply.headers["x-request-id"] != name


def test_access_log_names_model_and_version_and_nothing_of_the_contents(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sdk.serve"), line_to(server.place) as line:
        body = picture(250) + SECRET.encode()
        line.send(post(body, more=f"X-Request-Id: abc\r\nX-Other: {SECRET}\r\n"))
        reply = line.reply()
        until = time.monotonic() + PATIENCE_S  # the line is written once the answer is out
        while not _requests(caplog) and time.monotonic() < until:
            pass
    (fields,) = _requests(caplog)
    assert fields.pop("ms") > 0
    assert fields == {
        "id": "abc",
        "method": "POST",
        "path": "/v1/models/light:predict",
        "model": "light",
        "version": reply.json["version"],
        "status": 200,
        "bytes_in": len(body),
        "bytes_out": len(reply.body),
    }
    assert SECRET not in json.dumps([str(record.__dict__) for record in caplog.records])


def _requests(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Fields of the lines about requests."""
    return [record.fields for record in caplog.records if record.getMessage() == "request"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "log_all", "level"),
    [(200, True, "INFO"), (200, False, None), (422, False, None), (503, False, None), (500, False, "ERROR")],
)
def test_access_log_keeps_failures_at_least(
    caplog: pytest.LogCaptureFixture, status: int, log_all: bool, level: str | None
) -> None:
    with caplog.at_level(logging.INFO, "sdk.serve"):
        AccessLog(log_all=log_all)(Exchange("GET", "/", "", "", "", status, 0.1, 0, 0, "a"))
    assert [record.levelname for record in caplog.records] == ([level] if level else [])


def test_error_that_nobody_expected_is_answered_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError(SECRET)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Gate(broken)({"headers": [(b"x-request-id", b"abc")]}, None, send))
    assert sent[0]["status"] == 500
    assert (b"x-request-id", b"abc") in sent[0]["headers"]
    assert SECRET not in sent[1]["body"].decode()
    assert [record.getMessage() for record in caplog.records] == ["request_failed"]


def test_json_lines_are_one_line_each() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("a", logging.ERROR, "", 0, "it\nbroke", None, error)
    record.fields = {"model": "é"}
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["event"], told["model"]) == ("error", "it\nbroke", "é")
    assert told["exception"].endswith("two\nlines")


def test_picture_with_too_many_pixels_is_answered_413(server: Running) -> None:
    assert ask(server.place, post(picture(250, 31))).status == 200
    reply = ask(server.place, post(picture(250, 32)))
    assert (reply.status, reply.json["detail"]) == (
        413,
        "Image: got 32×32 pixels, expected at most 1000 pixels. Scale or tile the image first.",
    )
