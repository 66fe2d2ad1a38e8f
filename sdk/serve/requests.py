"""From the body of a request to items, by its media type."""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sdk.kinds import InputKind
from sdk.serve.options import ServeOptions
from sdk.serve.problems import ProblemError

JSON_TYPE, FORM_TYPE = "application/json", "multipart/form-data"
MOST_VALUES = 2_000_000
"""Of one body of JSON: Python takes up to thirty times the bytes of an empty list to hold it."""
_WINDOW_BITS = {"gzip": 31, "deflate": zlib.MAX_WBITS}
"""How zlib is told what to unpack."""


def media_type(headers: Mapping[str, str]) -> str:
    """The type of a body without its parameters, in lower case; nothing where there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(stream: AsyncIterator[bytes], headers: Mapping[str, str], most_bytes: int) -> bytes:
    """A whole body, refused as soon as it is known to be too large.

    Raises:
        ProblemError: 400 for a length that is no number, 413 for more than `most_bytes`, packed or unpacked,
            415 for a compression that is not known.
    """
    length = headers.get("content-length")
    if length is not None and not length.isdecimal():
        raise ProblemError(
            400, f"Content-Length: got {length[:40]!r}, expected a number. Correct the header."
        )
    if length is not None and int(length) > most_bytes:
        raise _too_large(int(length), most_bytes)
    parts: list[bytes] = []
    received = 0
    async for part in stream:
        received += len(part)
        if received > most_bytes:
            raise _too_large(received, most_bytes)
        parts.append(part)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    encoding = headers.get("content-encoding")
    if encoding is None or encoding.lower() == "identity":
        return body
    return await asyncio.to_thread(_unpacked, body, encoding.strip().lower(), most_bytes)


def _unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """What was compressed, up to `most_bytes`: a bomb is not unpacked any further."""
    if encoding not in _WINDOW_BITS:
        known = " or ".join(_WINDOW_BITS)
        raise ProblemError(415, f"Content-Encoding: got {encoding[:40]!r}, expected {known}. Compress it so.")
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        unpacked = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        unpacked = b""
    if len(unpacked) > most_bytes:
        raise _too_large(len(unpacked), most_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise ProblemError(400, f"Body: got what is no {encoding}, expected it whole. Correct the request.")
    return unpacked


def parsed(body: bytes) -> Any:
    """What a body says in JSON.

    Raises:
        ProblemError: 400 for what is none, 413 for more than `MOST_VALUES`.
    """
    values = sum(map(body.count, (b",", b"[", b"{")))  # a text's commas count too: those are long texts
    if values > MOST_VALUES:
        raise ProblemError(413, f"Body: got {values:,} values, expected at most {MOST_VALUES:,}. Send bytes.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "Body: got what is no JSON, expected an object. Correct it.") from error


def items_of_json(kind: InputKind, body: bytes, most_items: int) -> list[Any]:
    """The items of ``{"items": […]}``.

    Raises:
        ProblemError: 400 for another form, 413 for more than `most_items`.
        InputError: An item is of another form than its kind takes.
    """
    data = parsed(body)
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not items or set(data) - {"items"}:
        raise ProblemError(
            400, 'Body: got other JSON, expected {"items": […]} with at least one. Correct it.'
        )
    require_few(len(items), most_items)
    return [kind.from_json_item(item) for item in items]


def require_few(count: int, most: int) -> None:
    """Refuse more items than one request may bring.

    Raises:
        ProblemError: 413.
    """
    if count > most:
        raise ProblemError(413, f"Items: got {count}, expected at most {most}. Send several requests.")


def takes_bytes(kind: InputKind, type_: str) -> bool:
    """Whether a body of this type is one item's bytes."""
    family = type_.partition("/")[0]
    return type_ in kind.media_types or f"{family}/*" in kind.media_types


def unsupported(kind: InputKind, type_: str) -> ProblemError:
    """The answer to a body of a type that the model does not take."""
    known = ", ".join((*kind.media_types, FORM_TYPE, JSON_TYPE))
    return ProblemError(415, f"Content-Type: got {type_[:80]!r}, expected one of {known}. Set the header.")


def _too_large(got: int, most: int) -> ProblemError:
    return ProblemError(
        413,
        f"Body: got {got:,} bytes or more, expected at most {most:,}. Send less, or raise --max-body-mib.",
        {"Connection": "close"},
    )


def deadline_of(headers: Mapping[str, str], options: ServeOptions) -> float:
    """Milliseconds until a request's answer is worth nothing: what it asks for, at most the server's own.

    Raises:
        ProblemError: 400 for what is no positive number.
    """
    asked = headers.get("x-deadline-ms")
    if asked is None:
        return options.deadline_ms
    try:
        wanted = float(asked)
    except ValueError:
        wanted = math.nan
    if not wanted > 0:
        raise ProblemError(400, f"X-Deadline-Ms: got {asked[:40]!r}, expected milliseconds. Correct it.")
    return min(wanted, options.deadline_ms)
