"""Requests as bytes, for tests of what no client library would send."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from PIL import Image

PATIENCE_S = 15.0
"""Longest wait for anything: well above every bound that the tests set."""
READY = b"GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n"


class Reply(NamedTuple):
    """One answer.

    Attributes:
        status: Its number.
        headers: Names in lower case.
        body: As many bytes as it says.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Line:
    """One connection, read in bytes."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._file = connected.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, *, headers_only: bool = False) -> Reply:
        """The next answer.

        Args:
            headers_only: It was asked for with HEAD.

        Raises:
            EOFError: There is none: the connection is closed.
        """
        first = self._file.readline()
        if not first:
            raise EOFError
        headers = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        if status == 100:
            return self.reply(headers_only=headers_only)
        if headers_only and headers.get("connection") == "close":  # what is no request may get a body
            return Reply(status, headers, self._file.read())
        length = 0 if headers_only or status == 204 else int(headers["content-length"])
        return Reply(status, headers, self._file.read(length))

    def closed(self) -> bool:
        """Wait for the end; whether nothing came before it."""
        try:
            return self._file.read() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def line_to(place: tuple[str, int]) -> Iterator[Line]:
    """A connection, closed behind the with-block."""
    line = Line(socket.create_connection(place, PATIENCE_S))
    try:
        yield line
    finally:
        line.close()


def ask(place: tuple[str, int], data: bytes) -> Reply:
    """One request on a connection of its own."""
    with line_to(place) as line:
        line.send(data)
        return line.reply()


def post(body: bytes, type_: str = "image/png", *, name: str = "light", more: str = "") -> bytes:
    """A prediction's request.

    Args:
        body: One item, or several.
        type_: Its media type.
        name: The model's.
        more: Further header lines, each with its end.
    """
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: a\r\nContent-Type: {type_}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def picture(grey: int, size: int = 28) -> bytes:
    """A PNG of one shade."""
    file = io.BytesIO()
    Image.new("L", (size, size), grey).save(file, "PNG")
    return file.getvalue()
