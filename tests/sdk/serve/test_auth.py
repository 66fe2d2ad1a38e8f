"""API keys and certificates."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from runtimes import UsageError
from sdk.serve.auth import KEYS_VARIABLE, Keys, open_tls, read_keys
from sdk.serve.options import ServeOptions, Tls
from tests.sdk.serve.certificates import write_certificates
from tests.sdk.serve.sockets import PATIENCE_S, READY, Line, ask, picture, post
from tests.served import running

FIRST, SECOND = "first-key-of-a-client", "second-key-of-a-client"


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_certificates(tmp_path_factory.mktemp("certificates"))
    (folder / "text.pem").write_text("no certificate")
    return folder


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# who: a team\n{FIRST}\n\n  {SECOND}  \n")
    return path


@pytest.mark.parametrize(
    ("headers", "opens"),
    [
        pytest.param([(b"authorization", f"Bearer {FIRST}".encode())], True, id="bearer"),
        pytest.param([(b"authorization", f"bearer  {SECOND}".encode())], True, id="bearer-in-small-letters"),
        pytest.param([(b"x-api-key", FIRST.encode())], True, id="header-of-its-own"),
        pytest.param([(b"authorization", f"Basic {FIRST}".encode())], False, id="another-scheme"),
        pytest.param([(b"x-api-key", FIRST[:-1].encode())], False, id="a-part"),
        pytest.param([(b"x-api-key", b"")], False, id="empty"),
        pytest.param([(b"x-api-key", b"\xff\xfe")], False, id="no-text"),
        pytest.param([(b"x-other", FIRST.encode())], False, id="another-header"),
        pytest.param([], False, id="none"),
    ],
)
def test_keys_open_for_those_who_bring_one(headers: list[tuple[bytes, bytes]], opens: bool) -> None:
    assert Keys([FIRST, SECOND]).open_for(headers) is opens
    assert Keys().open_for(headers)


def test_read_keys_takes_a_file_before_the_environment(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(read_keys(ServeOptions())) == 0
    monkeypatch.setenv(KEYS_VARIABLE, f"{FIRST}, another-key-of-a-client")
    assert len(read_keys(ServeOptions())) == 2
    keys = read_keys(ServeOptions(api_keys=key_file))
    assert [keys.open_for([(b"x-api-key", key.encode())]) for key in (SECOND, "another-key-of-a-client")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"short\n", "got a key of 5 characters, expected at least 16", id="short"),
        pytest.param("schlüssel-für-einen-kunden\n".encode(), "printable ASCII", id="not-ascii"),
        pytest.param(b"# nothing else\n", "got no key, expected one key a line", id="none"),
        pytest.param(b"\xff\xfe\x00", "got what is no text", id="no-text"),
        pytest.param(None, "got No such file or directory", id="missing"),
    ],
)
def test_read_keys_refuses_a_file_that_protects_nothing(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_keys(ServeOptions(api_keys=path))
    assert "short" not in str(caught.value)  # a key is never repeated


def test_server_asks_for_a_key_but_not_for_its_health(light_artifact: Path, key_file: Path) -> None:
    with running({"light": light_artifact}, api_keys=key_file) as server:
        refused = ask(server.place, post(picture(250)))
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json["detail"].startswith("API key: got none that is known")
        for address in (b"metrics", b"openapi.json", b"docs", b"v1/models", b"nothing"):
            assert ask(server.place, READY.replace(b"health/ready", address)).status == 401
        assert ask(server.place, READY).status == 200
        with_key = post(picture(250), more=f"Authorization: Bearer {SECOND}\r\n")
        assert ask(server.place, with_key).status == 200


def test_server_reads_keys_again_when_it_is_told(light_artifact: Path, key_file: Path) -> None:
    with running({"light": light_artifact}, api_keys=key_file) as server:
        asked = post(picture(250), more=f"X-API-Key: {FIRST}\r\n")
        assert ask(server.place, asked).status == 200
        key_file.write_text("bad\n")
        server.order(server.orders.reload)
        assert ask(server.place, asked).status == 200  # a bad file changes nothing
        key_file.write_text(SECOND)
        server.order(server.orders.reload)
        while ask(server.place, asked).status == 200:
            pass
        assert ask(server.place, asked.replace(FIRST.encode(), SECOND.encode())).status == 200


def test_server_speaks_tls(light_artifact: Path, certificates: Path) -> None:
    tls = Tls(certificates / "cert.pem", certificates / "key.pem")
    with running({"light": light_artifact}, tls=tls) as server:
        assert server.address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(tls.cert))
        raw = socket.create_connection(server.place, PATIENCE_S)
        line = Line(trusting.wrap_socket(raw, server_hostname="127.0.0.1"))
        try:
            line.send(post(picture(250)))
            assert line.reply().json["results"][0]["label"] == "bright"
        finally:
            line.close()
        with socket.create_connection(server.place, PATIENCE_S) as plain:
            plain.sendall(READY)
            assert not plain.recv(1000).startswith(b"HTTP")


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        pytest.param("missing.pem", "key.pem", "'missing.pem': got No such file", id="no-certificate"),
        pytest.param("cert.pem", "missing.pem", "'missing.pem': got No such file", id="no-key"),
        pytest.param("cert.pem", "other_key.pem", "expected a certificate whose key is in", id="other-key"),
        pytest.param("cert.pem", "locked_key.pem", "'cert.pem': got", id="pass-phrase"),
        pytest.param("text.pem", "key.pem", "'text.pem': got", id="no-pem"),
    ],
)
def test_open_tls_refuses_what_it_cannot_show(certificates: Path, cert: str, key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_tls(Tls(certificates / cert, certificates / key))
