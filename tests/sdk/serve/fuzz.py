"""Requests that nobody should send: random by a seed, and near enough to good ones to get deep."""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from tests.sdk.serve.sockets import picture, post

_PREDICT, _INFER = "/v1/models/light:predict", "/v2/models/light/infer"
_ADDRESSES = (
    _PREDICT, _INFER, "/v1/models/light", "/v1/models", "/v2/models/light", "/v2/models/light/ready", "/v2",
    "/v1/models/light:feedback", "/v1/models/light:generate", "/v1/models/no:predict", "/health/ready",
    "/metrics", "/openapi.json", "/docs", "/", "//", "/v1/models/%00:predict",
    "/v1/models/..%2f..%2fetc:predict",
    "/v1/models/%f0%9f:predict", "/v1/models/light:predict?a=%ff", "/v1/models/" + "a" * 3000 + ":predict",
    "/v1/models/light:predict/", "*", "http://b/v1/models/light:predict",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get")
_TYPES = (
    "image/png", "application/json", "multipart/form-data; boundary=b", "multipart/form-data", "text/plain",
    "application/octet-stream", "application/x-www-form-urlencoded", "image/*", "", ";", "a" * 500,
    'multipart/form-data; boundary="' + "b" * 300 + '"', "application/json; charset=utf-16",
)  # fmt: skip
_HEADERS = (
    "X-Deadline-Ms: nan", "X-Deadline-Ms: -1", "X-Deadline-Ms: 1e999", "X-Deadline-Ms: 0.001",
    "X-Request-Id: ",
    "X-Request-Id: \xe9", "X-Request-Id: " + "a" * 300, "Content-Encoding: gzip", "Content-Encoding: br",
    "Content-Encoding: deflate", "Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: -5",
    "Inference-Header-Content-Length: 99999999999", "Expect: 100-continue", "Expect: nothing",
    "Range: bytes=0-1",
    "Upgrade: websocket", "Connection: upgrade", "Connection: close", "Accept: nothing/at-all",
    "Accept: ;;;q=",
    "Transfer-Encoding: gzip", "Cookie: " + "a=b; " * 100, "Host: c", "X-Client-Id: \xff", "TE: trailers",
    "Authorization: Bearer", "Origin: null",
)  # fmt: skip


def malformed(random_: random.Random) -> bytes:
    """One request, or what is hardly one."""
    return random_.choice(_KINDS)(random_)


def bomb_png(width: int, height: int) -> bytes:
    """A few bytes that say they are so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100_000), 9)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _mixed(random_: random.Random) -> bytes:
    """Parts that do not fit each other."""
    body = random_.choice(_BODIES)(random_)
    lines = [
        f"{random_.choice(_METHODS)} {random_.choice(_ADDRESSES)} HTTP/1.{random_.choice('1110')}",
        "Host: a",
    ]
    if random_.random() < 0.9:
        lines.append(f"Content-Type: {random_.choice(_TYPES)}")
    lines += random_.sample(_HEADERS, random_.choice((0, 0, 1, 2, 3)))
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _fitting(random_: random.Random) -> bytes:
    """A body under its own type."""
    type_, make = random_.choice(
        [
            ("image/png", _image), ("application/json", _json), ("application/json", _tensor_json),
            ("multipart/form-data; boundary=b", _form), ("application/octet-stream", _noise),
        ]
    )  # fmt: skip
    body = make(random_)
    more = random_.choice(("", "", "X-Deadline-Ms: 5\r\n", "Content-Encoding: gzip\r\n"))
    if "gzip" in more and random_.random() < 0.8:
        body = gzip.compress(body)
    asked = post(body, type_, more=more)
    return asked.replace(_PREDICT.encode(), _INFER.encode()) if make is _tensor_json else asked


def _mutated(random_: random.Random) -> bytes:
    """A good request with some bytes changed, left out or put in."""
    data = bytearray(post(picture(9)) if random_.random() < 0.5 else _fitting(random_))
    for _ in range(random_.choice((1, 2, 5, 20))):
        at = random_.randrange(len(data))
        change = random_.randrange(3)
        if change == 0:
            data[at] = random_.randrange(256)
        elif change == 1:
            del data[at : at + random_.choice((1, 3, 50))]
        else:
            data[at:at] = random_.randbytes(random_.choice((1, 4, 100)))
        if not data:
            break
    return bytes(data)


def _cut(random_: random.Random) -> bytes:
    data = _fitting(random_)
    return data[: random_.randrange(1, len(data))]


def _chunked(random_: random.Random) -> bytes:
    lines = ("Host: a", "Content-Type: image/png", "Transfer-Encoding: chunked", "", "")
    head = "\r\n".join([f"POST {_PREDICT} HTTP/1.1", *lines])
    sizes = [random_.choice((b"5", b"0", b"-1", b"ffffffffffffffff", b"zz", b"5;a=b", b"")) for _ in range(3)]
    return head.encode() + b"".join(size + b"\r\nabcde\r\n" for size in sizes) + b"0\r\n\r\n"


def _image(random_: random.Random) -> bytes:
    data = bytearray(picture(random_.randrange(256), random_.choice((1, 28, 300))))
    choice = random_.randrange(6)
    if choice == 0:
        return bomb_png(random_.choice((1, 9000, 60_000, 2**31 - 1)), random_.choice((0, 1, 9000, 60_000)))
    if choice == 1:
        return bytes(data[: random_.randrange(len(data))])
    if choice == 2:
        data[random_.randrange(8, len(data))] ^= 255
    if choice == 3:
        return random_.choice(
            (b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"II*\0", b"\xff\xd8\xff\xe0")
        ) + _noise(random_)
    return bytes(data)


_JSON = (
    b"", b"null", b"[]", b"{}", b'{"items":[]}', b'{"items":{}}', b'{"items":[null]}',
    b'{"items":["/etc/passwd"]}', b'{"items":[{"path":"/etc/passwd"}]}', b'{"items":["http://127.0.0.1/"]}',
    b"[" * 100_000, b'{"items":' * 2000, b'{"items":[' + b"[]," * 5000 + b"1]}", b'{"items":[1e999]}',
    b'{"items":[NaN,Infinity]}', b'{"items":[' + b"9" * 5000 + b"]}", b'{"items":[{"base64":"!"}]}',
    b'{"items":[{"base64":5}]}', b'{"items":[{"base64":"AAAA"}],"a":1}', b'{"items":["\\ud800"]}',
    b"\xff\xfe{\0}\0", b'{"items":[true]}', b'{"items":[{"base64":"' + b"A" * 99_999 + b'"}]}',
    b'{"items":[[[1]]],"items":[{"base64":""}]}',
)  # fmt: skip


def _json(random_: random.Random) -> bytes:
    return random_.choice(_JSON)


_SHAPES = ([1, 28, 28, 1], [1], [0, 28, 28, 1], [-1], [2**40], "a", None, [[1]], [10**30], [1.5])


def _tensor_json(random_: random.Random) -> bytes:
    tensor = {
        "name": random_.choice(("image", "item", "no", "", 5, None)),
        "datatype": random_.choice(("UINT8", "FP32", "BYTES", "no", 5, None)),
        "shape": random_.choice(
            ([1, 28, 28, 1], [1], [0, 28, 28, 1], [-1], [2**40], "a", None, [[1]], [10**30], [1.5])
        ),
        "data": random_.choice(
            ([0] * 784, [], [[1]], "a", None, [1e999], ["AAAA"], [300] * 784, [None] * 784)
        ),
        "parameters": random_.choice(({}, {"binary_data_size": 784}, {"binary_data_size": -1}, 5, None)),
    }
    for key in list(tensor):
        if random_.random() < 0.15:
            del tensor[key]
    outputs = random_.choice(([], [{"name": "scores"}], [{"name": "no"}], [5], "a", None))
    inputs = random_.choice(([tensor], [tensor, tensor], tensor, [], None))
    return json.dumps({"inputs": inputs, "outputs": outputs, "id": random_.choice(("a", 5, None))}).encode()


def _form(random_: random.Random) -> bytes:
    names = ('name="a"', 'name="a"; filename="b.png"', "name=", "", 'filename="\\"', f'name="{"a" * 5000}"')
    part = f"Content-Disposition: form-data; {random_.choice(names)}\r\n".encode()
    part += random_.choice(
        (b"", b"Content-Type: image/png\r\n", b"bad header\r\n", b"Content-Transfer-Encoding: x\r\n")
    )
    part += random_.choice((b"\r\n", b"", b"\n")) + _image(random_)
    count = random_.choice((0, 1, 2, 300))
    return b"".join(b"--b\r\n" + part + b"\r\n" for _ in range(count)) + random_.choice(
        (b"--b--\r\n", b"--b", b"", b"--c--")
    )


def _noise(random_: random.Random) -> bytes:
    return random_.randbytes(random_.choice((0, 1, 100, 70_000)))


def _packed(random_: random.Random) -> bytes:
    """Zeros, in as little as gzip makes of them, some of it cut."""
    data = _zeros(random_.choice((1, 40)))
    return post(data[: random_.choice((None, 50))], "image/png", more="Content-Encoding: gzip\r\n")


@cache
def _zeros(mebibytes: int) -> bytes:
    return gzip.compress(bytes(mebibytes * 1024**2))


_BODIES: tuple[Callable[[random.Random], bytes], ...] = (_image, _json, _tensor_json, _form, _noise)
_KINDS = (_mixed, _mixed, _fitting, _fitting, _mutated, _mutated, _cut, _chunked, _noise, _packed)
