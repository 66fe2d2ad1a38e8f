"""Starts that go wrong: one line, exit code 2, and nothing left."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from sdk.command import main
from tests.sdk.serve.other_artifact import write_other_artifact


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test run's own log is left as it is."""
    monkeypatch.setattr("sdk.serve.server.log_to_stderr", lambda: None)
    monkeypatch.setattr("sdk.serve.server._allow_connections", lambda _: None)


@pytest.fixture
def folder(light_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good and bad artifacts in the working folder."""
    (tmp_path / "light.onnx").write_bytes(light_artifact.read_bytes())
    (tmp_path / "broken.onnx").write_bytes(light_artifact.read_bytes()[:-7])
    write_other_artifact(tmp_path / "unproved.onnx", wrong_proof=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["missing.onnx"], "'missing.onnx': got", id="missing-artifact"),
        pytest.param(["broken.onnx"], "'broken.onnx': got", id="altered-artifact"),
        pytest.param(["unproved.onnx"], "expected at most 0, as it was proved", id="fails-its-proof"),
        pytest.param(["light.onnx", "missing.onnx"], "'missing.onnx': got", id="second-missing"),
        pytest.param(["light.onnx", "light.onnx"], "'light' twice", id="same-name-twice"),
        pytest.param(["a/b=light.onnx"], "expected letters, digits", id="name-with-a-slash"),
        pytest.param(["light.onnx", "--host", "256.0.0.1"], "Address: got 256.0.0.1:0", id="no-such-host"),
        pytest.param(
            ["light.onnx", "--tls-cert", "missing.pem", "--tls-key", "key.pem"],
            "Certificate 'missing.pem': got No such file", id="unreadable-certificate",
        ),
        pytest.param(["light.onnx", "--tls-cert", "cert.pem"], "got one of them", id="half-of-tls"),
        pytest.param(["light.onnx", "--api-key-file", "k"], "API keys 'k': got No such file", id="no-keys"),
        pytest.param(["light.onnx", "--port", "70000"], "--port: got 70000", id="port-too-large"),
        pytest.param(["light.onnx", "--max-queue", "1"], "--max-queue: got 1", id="queue-under-batch"),
        pytest.param(["light.onnx", "--replicas", "0"], "--replicas: got 0", id="no-replicas"),
        pytest.param(["light.onnx", "--max-megapixels", "0"], "--max-megapixels: got 0", id="no-pixels"),
        pytest.param(["--watch", "light.onnx", "--watch-s", "0"], "--watch-s: got 0", id="no-pause"),
        pytest.param(["light.onnx", "--idle-timeout-s", "0"], "--idle-timeout-s: got 0", id="no-idle"),
        pytest.param(["light.onnx", "--provider", "NoProvider"], "NoProvider", id="engine-option"),
    ],
)  # fmt: skip
def test_bad_start_is_one_line_and_exit_code_2(
    capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = threading.active_count()
    assert main(["serve", "--port", "0", *words]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert threading.active_count() == before


def test_port_in_use_is_one_line_and_exit_code_2(
    light_artifact: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(light_artifact), "--port", str(port)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"Address: got 127.0.0.1:{port} (Address already in use)" in line


def test_two_servers_do_not_share_a_port_while_they_start(capfd: pytest.CaptureFixture[str]) -> None:
    from sdk.serve.server import bind

    with bind("127.0.0.1", 0) as first:
        assert main(["serve", "missing.onnx", "--port", str(first.getsockname()[1])]) == 2
    assert "Address already in use" in capfd.readouterr().err
