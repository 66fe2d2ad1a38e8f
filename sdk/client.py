"""A client of `edgewright serve`, on Python's standard library alone.

    with Client("http://127.0.0.1:8000") as client:
        print(client.predict("product", Path("shirt.png")).results[0]["label"])

Errors that a server answers with, and those of getting there:

    ServiceError                    anything that gave no answer
    ├── RequestError                the request cannot be answered, now or later (status 400 to 422, 500)
    │   └── NotAllowedError         no API key that is known (401)
    ├── BusyError                   the server did not take it, after all retries (429, 503)
    ├── LateError                   there was no answer in time (408, 504, or our own clock)
    └── UnreachableError            no connection, or it broke, after all retries
"""

from __future__ import annotations

import json
import math
import random
import secrets
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

_JSON = "application/json"
_BUSY, _LATE = (429, 503), (408, 504)
_NOT_ALLOWED = 401
_LONGEST_WAIT_S = 30.0
_BACK_OFF_S = 0.1
_SLACK_S = 1.0
"""How much longer than the server we wait for an answer that may still be on its way."""


class ServiceError(Exception):
    """A request that got no answer.

    Args:
        detail: One line.
        status: Of the response; 0 where there was none.
    """

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.detail, self.status = detail, status


class RequestError(ServiceError):
    """The request cannot be answered, and will not be if it is repeated."""


class NotAllowedError(RequestError):
    """The server asks for an API key, and this is none that it knows."""


class BusyError(ServiceError):
    """The server has too much to do, or is starting or ending."""


class LateError(ServiceError):
    """There was no answer before the deadline."""


class UnreachableError(ServiceError):
    """There is no connection to the server."""


class Answer(NamedTuple):
    """What a model says of some items.

    Attributes:
        model: Its name.
        version: Which version of it answered.
        results: One per item, as plain values: the result's `to_dict`.
        id: Of the request, for feedback.
    """

    model: str
    version: str
    results: list[dict[str, Any]]
    id: str


class Client:
    """Asks one server over one connection that is kept; not to be shared between threads.

    Args:
        url: Of the server, such as ``https://models.example:8000``.
        api_key: Where the server asks for one.
        deadline_ms: How long an answer may take, with all retries.
        retries: How often a request is repeated that the server has not taken, or whose connection broke:
            predictions change nothing, so that they can be asked for twice.
        tls: For ``https``: whom to trust; None: whom this system trusts.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        deadline_ms: float = 10_000.0,
        retries: int = 3,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"URL: got {url!r}, expected http://HOST:PORT or https://HOST:PORT. Correct it.")
        self._start = address.path.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._deadline_s, self._retries = deadline_ms / 1000, retries
        self._connection: HTTPConnection
        if address.scheme == "https":
            self._connection = HTTPSConnection(address.hostname, address.port, context=tls)
        else:
            self._connection = HTTPConnection(address.hostname, address.port)

    def predict(
        self, model: str, *items: Any, deadline_ms: float | None = None, client_id: str | None = None
    ) -> Answer:
        """Ask a model about items.

        Args:
            model: Its name.
            *items: A `Path` stands for the file's content and bytes for themselves. Everything else is sent
                as JSON: a string is a text, never a file's name; series are ``{"columns": {…}}``, arrays
                nested lists by name.
            deadline_ms: In place of the client's own.
            client_id: Who asks, where versions are compared: the same is always answered by the same.

        Raises:
            ServiceError: There is no answer.
            OSError: A file cannot be read.
        """
        if not items:
            raise ValueError("Items: got none, expected at least one. Pass some.")
        type_, body = _packed([item.read_bytes() if isinstance(item, Path) else item for item in items])
        headers = {"Content-Type": type_} | ({} if client_id is None else {"X-Client-Id": client_id})
        told = self._json("POST", f"/v1/models/{quote(model, safe='')}:predict", body, headers, deadline_ms)
        return Answer(told["model"], told["version"], told["results"], told["id"])

    def generate(self, model: str, prompt: str, **options: Any) -> Iterator[str]:
        """Let a language model write: gives pieces of the text as they come.

        Args:
            model: Its name.
            prompt: What it continues.
            **options: ``max_tokens``, ``temperature``, ``top_k``, ``top_p``, ``seed``, ``stop``; and
                ``deadline_ms`` as for `predict`.

        Raises:
            ServiceError: There is no answer; with some pieces given, no more of it.
        """
        deadline_ms = options.pop("deadline_ms", None)
        body = json.dumps({"prompt": prompt, **options, "stream": True}).encode()
        path = f"/v1/models/{quote(model, safe='')}:generate"
        response = self._asked("POST", path, body, {"Content-Type": _JSON}, deadline_ms)
        finished = False
        try:
            for event, data in _events(response):
                if event == "error":
                    raise _error(data["status"], data["detail"])
                if event == "done":
                    finished = True
                    return
                yield data["text"]
        except (OSError, HTTPException) as error:
            raise UnreachableError(f"Connection: it broke ({error}). Ask again.") from error
        finally:
            if finished:
                response.read()
            else:
                self.close()
        raise UnreachableError("Connection: it ended inside of an answer. Ask again.")

    def feedback(self, model: str, *judgements: Mapping[str, Any]) -> int:
        """Say what was true of answers: ``{"id": …, "correct": True}`` or ``{"id": …, "label": …}``.

        Returns:
            How many were recorded.

        Raises:
            ServiceError: They were not.
        """
        body = json.dumps({"feedback": judgements}).encode()
        path = f"/v1/models/{quote(model, safe='')}:feedback"
        return int(self._json("POST", path, body, {"Content-Type": _JSON}, None)["recorded"])

    def models(self) -> list[dict[str, Any]]:
        """Every model that is served, with its version, contract and proof.

        Raises:
            ServiceError: There is no answer.
        """
        found: list[dict[str, Any]] = self._json("GET", "/v1/models", None, {}, None)["models"]
        return found

    def is_ready(self) -> bool:
        """Whether the server can be reached and takes requests."""
        try:
            response = self._once("GET", "/health/ready", None, {}, time.monotonic() + self._deadline_s)
            response.read()
        except (OSError, HTTPException):
            self.close()
            return False
        return response.status == 200

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_ms: float | None,
    ) -> Any:
        response = self._asked(method, path, body, headers, deadline_ms)
        try:
            return json.loads(response.read())
        except TimeoutError as error:
            self.close()
            raise LateError("Answer: it did not arrive in time. Ask for less, or allow more time.") from error
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise UnreachableError(
                f"Connection: it broke inside of an answer ({error}). Ask again."
            ) from error

    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline_ms: float | None,
    ) -> HTTPResponse:
        """The response to a request that was taken."""
        until = time.monotonic() + (self._deadline_s if deadline_ms is None else deadline_ms / 1000)
        named = {"X-Request-Id": secrets.token_hex(12), **headers}
        attempt = 0
        while True:
            attempt += 1
            failed, wait_s = self._try(method, path, body, named, until)
            if isinstance(failed, HTTPResponse):
                return failed
            wait_s = wait_s if wait_s is not None else _BACK_OFF_S * 2**attempt * (0.5 + random.random())
            if attempt > self._retries or not isinstance(failed, (BusyError, UnreachableError)):
                raise failed
            if time.monotonic() + wait_s >= until:
                raise failed
            time.sleep(wait_s)

    def _try(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], until: float
    ) -> tuple[HTTPResponse | ServiceError, float | None]:
        """A response, or an error and how long the server would have us wait."""
        try:
            response = self._once(method, path, body, headers, until)
            if response.status == 200:
                return response, None
            told = response.read()
        except TimeoutError:
            self.close()
            return LateError("Answer: there was none in time. Ask for less, or allow more time."), None
        except (OSError, HTTPException) as error:
            self.close()
            why = str(error) or type(error).__name__
            return UnreachableError(f"Server: it cannot be reached ({why}). See whether it runs."), None
        return _error(response.status, _detail(told)), _seconds(response.getheader("Retry-After"))

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], until: float
    ) -> HTTPResponse:
        left_s = max(0.001, until - time.monotonic())
        self._connection.timeout = left_s + _SLACK_S
        if self._connection.sock is not None:
            self._connection.sock.settimeout(left_s + _SLACK_S)
        asked = {**self._headers, **headers, "X-Deadline-Ms": f"{1000 * left_s:.0f}"}
        self._connection.request(method, self._start + path, body, asked)
        return self._connection.getresponse()


def _packed(items: Sequence[Any]) -> tuple[str, bytes]:
    """The media type and the body of a request about `items`."""
    if all(isinstance(item, bytes) for item in items):
        if len(items) == 1:
            return "application/octet-stream", items[0]
        mark = secrets.token_hex(16)
        head = b'--%b\r\nContent-Disposition: form-data; name="item"; filename="item"\r\n\r\n' % mark.encode()
        parts = b"".join([head + item + b"\r\n" for item in items])
        return f"multipart/form-data; boundary={mark}", parts + b"--%b--\r\n" % mark.encode()
    plain = [{"base64": b64encode(item).decode()} if isinstance(item, bytes) else item for item in items]
    return _JSON, json.dumps({"items": plain}, allow_nan=False).encode()


def _events(response: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Server-sent events, each with its JSON."""
    event = "message"
    for line in response:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            yield event, json.loads(value)
            event = "message"


def _detail(body: bytes) -> str:
    try:
        told = json.loads(body)
        return str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace") or "no reason was given"


def _error(status: int, detail: str) -> ServiceError:
    kinds = (
        dict.fromkeys(_BUSY, BusyError) | dict.fromkeys(_LATE, LateError) | {_NOT_ALLOWED: NotAllowedError}
    )
    return kinds.get(status, RequestError)(detail, status)


def _seconds(text: str | None) -> float | None:
    """Of a ``Retry-After`` header, up to a bound; a date is taken for nothing."""
    try:
        wanted = float(text or "")
    except ValueError:
        return None
    return min(wanted, _LONGEST_WAIT_S) if wanted >= 0 and math.isfinite(wanted) else None
