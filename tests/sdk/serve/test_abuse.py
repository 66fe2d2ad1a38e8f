"""A server that is sent what nobody should send."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from sdk.serve.problems import TITLES
from tests.sdk.serve.fuzz import malformed
from tests.sdk.serve.processes import Server, command
from tests.sdk.serve.sockets import Reply, ask, line_to, picture, post

FEW, MANY = 400, 10_000
_LONGEST_S = 400.0
"""Of a run of schemathesis; its own work, not the server's, is what takes long."""
_GROWTH_BYTES = 64 * 1024**2
"""Of resident memory over thousands of requests that were refused: caches and the allocator's own."""
_BOUNDS = (
    "--max-body-mib",
    "1",
    "--max-megapixels",
    "20",
    "--request-timeout-s",
    "0.5",
    "--max-held-mib",
    "64",
)


def test_server_refuses_what_is_malformed_and_goes_on(light_artifact: Path) -> None:
    with command(f"light={light_artifact}", *_BOUNDS) as server:
        statuses = _abuse(server.place(), FEW, seed=1)
        assert len(statuses) > 5  # it got into more than one part of the server
        _assert_well(server)


@pytest.mark.slow
def test_server_survives_ten_thousand_malformed_requests(light_artifact: Path) -> None:
    with command(f"light={light_artifact}", *_BOUNDS) as server, ExitStack() as stack:
        place = server.place()
        _abuse(place, 1000, seed=2)
        before = _resident_bytes(server.process.pid)
        for number in range(50):  # slow ones beside all others
            stack.enter_context(line_to(place)).send(post(picture(9))[: 20 + number])
        threads = [threading.Thread(target=_abuse, args=(place, MANY // 4, seed)) for seed in range(3, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _assert_well(server)
        assert _resident_bytes(server.process.pid) - before < _GROWTH_BYTES


_SCHEMATHESIS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503, 504]
"""


@pytest.mark.slow
def test_answers_are_what_the_description_says(light_artifact: Path, tmp_path: Path) -> None:
    """Schemathesis reads it, and sends what fits it and what nearly does."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    (tmp_path / "schemathesis.toml").write_text(_SCHEMATHESIS)
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    with command(f"light={light_artifact}", *_BOUNDS) as server:
        host, port = server.place()
        words = ["run", f"http://{host}:{port}/openapi.json", "--phases", "coverage,fuzzing", "--seed", "1"]
        words += ["--max-examples", "60", "--checks", checks, "--suppress-health-check", "all", "--no-color"]
        words += ["--continue-on-failure"]
        found = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=_LONGEST_S,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout
        _assert_well(server)


def _abuse(place: tuple[str, int], count: int, seed: int) -> Counter[int]:
    random_ = random.Random(seed)
    statuses: Counter[int] = Counter()
    for number in range(count):
        data = malformed(random_)
        for reply in _replies(place, data):
            where = (seed, number, data[:300], reply)
            assert reply.status < 300 or reply.status in TITLES, where
            assert reply.status != 500, where
            if reply.status >= 400 and reply.body:
                type_ = reply.headers["content-type"]
                assert type_.startswith(("application/problem+json", "application/json")), where
            statuses[reply.status] += 1
    return statuses


def _replies(place: tuple[str, int], data: bytes) -> list[Reply]:
    """All that comes back of what was sent, and of its end."""
    replies = []
    with line_to(place) as line:
        try:
            line.send(data)
            line.socket.shutdown(socket.SHUT_WR)
            while True:
                replies.append(line.reply(headers_only=data.startswith(b"HEAD")))
        except (EOFError, ConnectionError, BrokenPipeError):
            return replies


def _assert_well(server: Server) -> None:
    """It gives right answers, and has noted nothing that went wrong inside."""
    place = server.place()
    for grey, label in ((250, "bright"), (5, "dark")):
        assert ask(place, post(picture(grey))).json["results"][0]["label"] == label
    assert server.lines[1:] == []
    assert server.process.poll() is None


def _resident_bytes(process_id: int) -> int:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
