"""From bodies to items."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from sdk.inputs.image import ImageInput
from sdk.inputs.text import TextInput
from sdk.serve.options import ServeOptions
from sdk.serve.problems import ProblemError
from sdk.serve.requests import deadline_of, items_of_json, media_type, read_body, takes_bytes
from tests.light_artifact import light_spec
from tests.sdk.serve.sockets import ask, picture, post
from tests.served import Running, running

MOST = 1000


def _read(parts: Sequence[bytes], **headers: str) -> bytes:
    """A body that arrives in parts."""
    taken = []

    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            taken.append(part)
            yield part

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return asyncio.run(read_body(stream(), named, MOST))
    finally:
        assert sum(map(len, taken[:-1])) <= MOST  # no more is taken than it needs to know


@pytest.mark.parametrize(
    ("parts", "headers", "body"),
    [
        pytest.param([b"ab", b"cd"], {}, b"abcd", id="parts"),
        pytest.param([], {"content_length": "0"}, b"", id="empty"),
        pytest.param([gzip.compress(b"ab" * 200)], {"content_encoding": "gzip"}, b"ab" * 200, id="gzip"),
        pytest.param([zlib.compress(b"ab")], {"content_encoding": "Deflate"}, b"ab", id="deflate"),
        pytest.param([b"ab"], {"content_encoding": "identity"}, b"ab", id="identity"),
    ],
)
def test_read_body_gives_all_of_it(parts: list[bytes], headers: dict[str, str], body: bytes) -> None:
    assert _read(parts, **headers) == body


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        pytest.param([b"a" * 600] * 9, {}, 413, id="too-large"),
        pytest.param([b"a"], {"content_length": "1001"}, 413, id="says-it-is-too-large"),
        pytest.param([b"a"], {"content_length": "one"}, 400, id="length-is-no-number"),
        pytest.param([gzip.compress(bytes(10**6))[:MOST]], {"content_encoding": "gzip"}, 413, id="bomb"),
        pytest.param([gzip.compress(b"ab")[:-4]], {"content_encoding": "gzip"}, 400, id="cut"),
        pytest.param([gzip.compress(b"a") * 2], {"content_encoding": "gzip"}, 400, id="more-behind"),
        pytest.param([b"ab"], {"content_encoding": "gzip"}, 400, id="not-packed"),
        pytest.param([b"ab"], {"content_encoding": "br"}, 415, id="unknown-packing"),
    ],
)
def test_read_body_refuses(parts: list[bytes], headers: dict[str, str], status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        _read(parts, **headers)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b"[1]", 400, id="list"),
        pytest.param(b'{"items":[]}', 400, id="no-items"),
        pytest.param(b'{"items":["AA=="],"a":1}', 400, id="more-keys"),
        pytest.param(b"[" * 100_000, 400, id="deep"),
        pytest.param(b"\xff\xfe", 400, id="no-text"),
        pytest.param(b'{"items":[1,2,3,4]}', 413, id="too-many"),
        pytest.param(b'{"items":[' + b"[]," * 1_000_000 + b"1]}", 413, id="more-values-than-memory-takes"),
    ],
)
def test_items_of_json_refuses(body: bytes, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        items_of_json(light_spec().input, body, 3)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("asked", "given"),
    [(None, 10_000), ("250", 250), ("1e9", 10_000), ("inf", 10_000), ("0.5", 0.5)],
)
def test_deadline_of_takes_what_is_asked_up_to_the_server_s_own(asked: str | None, given: float) -> None:
    headers = {} if asked is None else {"x-deadline-ms": asked}
    assert deadline_of(headers, ServeOptions()) == given


@pytest.mark.parametrize("asked", ["", "nan", "0", "-1", "soon"])
def test_deadline_of_refuses_what_is_no_time(asked: str) -> None:
    with pytest.raises(ProblemError, match="400"):
        deadline_of({"x-deadline-ms": asked}, ServeOptions())


def test_media_types_are_those_of_the_kind() -> None:
    assert media_type({"content-type": " Image/PNG ; a=b"}) == "image/png"
    image = light_spec().input
    assert isinstance(image, ImageInput)
    taken = ("image/png", "image/webp", "application/octet-stream")
    assert [takes_bytes(image, type_) for type_ in (*taken, "text/plain", "")] == [True] * 3 + [False] * 2
    assert "text/plain" in TextInput.media_types


@pytest.fixture(scope="module")
def server(light_artifact: Path) -> Iterator[Running]:
    with running({"light": light_artifact}, max_items=3) as server:
        yield server


def _form(*parts: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
    return b"".join(head + part + b"\r\n" for part in parts) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "type_", "labels"),
    [
        pytest.param(picture(250), "image/png", ["bright"], id="bytes"),
        pytest.param(
            _form(picture(250), picture(5)), "multipart/form-data; boundary=b", ["bright", "dark"], id="form"
        ),
        pytest.param(gzip.compress(picture(5)), "image/png\r\nContent-Encoding: gzip", ["dark"], id="packed"),
    ],
)
def test_request_is_answered_item_by_item(
    server: Running, body: bytes, type_: str, labels: list[str]
) -> None:
    reply = ask(server.place, post(body, type_))
    assert [result["label"] for result in reply.json["results"]] == labels


@pytest.mark.parametrize(
    ("body", "type_", "status", "message"),
    [
        pytest.param(b"x", "multipart/form-data", 400, "Missing boundary", id="form-without-boundary"),
        pytest.param(b"x", "multipart/form-data; boundary=b", 400, "cannot be read", id="no-form"),
        pytest.param(b"--b--\r\n", "multipart/form-data; boundary=b", 400, "got no parts", id="empty-form"),
        pytest.param(
            _form(*[b"a"] * 4), "multipart/form-data; boundary=b", 400, "Too many files", id="many-parts"
        ),
        pytest.param(_form(b"a"), "multipart/form-data; boundary=b", 422, "no image", id="part-is-no-image"),
        pytest.param(b"{}", "application/json", 400, "expected {", id="no-items"),
        pytest.param(b'{"items":["/etc/passwd"]}', "application/json", 422, "base64", id="a-path"),
        pytest.param(b"a", "text/plain", 415, "expected one of", id="another-type"),
        pytest.param(b"a", "", 415, "expected one of", id="no-type"),
    ],
)
def test_request_is_refused_with_one_line(
    server: Running, body: bytes, type_: str, status: int, message: str
) -> None:
    reply = ask(server.place, post(body, type_))
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert message in reply.json["detail"]
    assert "\n" not in reply.json["detail"]
