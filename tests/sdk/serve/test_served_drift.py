"""A server that watches for drift, and two that share a log."""

from __future__ import annotations

import base64
import io
import json
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from runtimes import Array
from sdk.monitor.log_reading import read_log
from sdk.monitor.log_tables import open_tables
from sdk.serve.monitor_options import MonitorOptions
from tests.sdk.monitor.watched import REFERENCE_ROWS, darker, pictures, write_watched_artifact
from tests.sdk.serve.sockets import PATIENCE_S, ask, post
from tests.served import Running, running

WINDOW, AT_ONCE = 200, 100


@pytest.fixture(scope="module")
def watched_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_watched_artifact(tmp_path_factory.mktemp("watched") / "light.onnx")


def _send(servers: Iterable[Running], items: Array) -> None:
    """In turn to each server, `AT_ONCE` pictures a request."""
    ring = list(servers)
    for number, start in enumerate(range(0, len(items), AT_ONCE)):
        told = [{"base64": _png(item)} for item in items[start : start + AT_ONCE]]
        body = json.dumps({"items": told}).encode()
        assert ask(ring[number % len(ring)].place, post(body, "application/json")).status == 200


def _png(pixels: Array) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _drifted(server: Running) -> float | None:
    text = ask(server.place, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("edgewright_drifted_features{")]
    return float(lines[0].split()[-1]) if lines else None


def test_servers_that_share_a_log_fire_the_hook_once(watched_artifact: Path, tmp_path: Path) -> None:
    program, fired, log = tmp_path / "retrain.py", tmp_path / "fired", tmp_path / "log.db"
    program.write_text(
        "import sys\nwith open(sys.argv[1], 'a') as file: file.write(sys.stdin.read() + '\\n')"
    )
    hook = shlex.join([sys.executable, str(program), str(fired)])
    monitor = MonitorOptions(log=str(log), window=WINDOW, on_drift=hook)
    some = pictures()[REFERENCE_ROWS : REFERENCE_ROWS + 800]
    models = {"light": watched_artifact}
    with running(models, monitor=monitor) as one, running(models, monitor=monitor) as other:
        _send((one, other), some)
        until = time.monotonic() + PATIENCE_S
        while _drifted(one) is None or _drifted(other) is None:
            assert time.monotonic() < until, "nobody looked"
            time.sleep(0.05)
        assert _drifted(one) == _drifted(other) == 0
        assert not fired.exists()
        _send((one, other), darker(some))
        while not (_drifted(one) and _drifted(other)):
            assert time.monotonic() < until + PATIENCE_S, "the shift was not seen"
            time.sleep(0.05)
    with running(models, monitor=monitor) as again:  # a restart
        _send((again,), darker(some))
        until = time.monotonic() + PATIENCE_S
        while not _drifted(again):
            assert time.monotonic() < until, "the shift was not seen"
            time.sleep(0.05)
    tables = open_tables(str(log), create=False)
    assert len(read_log(tables)) == 3 * len(some)
    tables.engine.dispose()
    until = time.monotonic() + PATIENCE_S
    while not (fired.exists() and fired.read_text().endswith("\n")):  # nobody waits for the command
        assert time.monotonic() < until, "the hook was not fired"
        time.sleep(0.05)
    (told,) = fired.read_text().splitlines()
    assert json.loads(told)["status"] == "drift"


def test_server_without_a_log_remembers_nothing(
    watched_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with running({"light": watched_artifact}) as server:
        _send((server,), pictures()[:100])
        assert _drifted(server) is None
    assert list(tmp_path.iterdir()) == []
