"""Protobuf's wire format: fields of a message, without a schema and, in reading, without copies.

Enough for looking into models that other tools wrote; every length is checked, so damaged bytes raise
`WireError` and nothing else. The format: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_SIGN, _WRAP = 1 << 63, 1 << 64


class WireError(ValueError):
    """Bytes that are no protobuf message."""


class Field(NamedTuple):
    """One field as it stands in a message.

    Attributes:
        number: Which field.
        value: A whole number for varints and fixed-width fields, a view of the bytes for the rest.
    """

    number: int
    value: int | memoryview

    @property
    def message(self) -> memoryview:
        """The bytes of a nested message, string or packed list.

        Raises:
            WireError: It is a number.
        """
        if isinstance(self.value, int):
            raise WireError(f"field {self.number} is a number")
        return self.value

    @property
    def text(self) -> str:
        """The bytes as UTF-8.

        Raises:
            WireError: They are none.
        """
        try:
            return bytes(self.message).decode()
        except UnicodeDecodeError as error:
            raise WireError(f"field {self.number} is no text") from error

    @property
    def number_value(self) -> int:
        """A signed 64-bit number.

        Raises:
            WireError: It is none.
        """
        if not isinstance(self.value, int):
            raise WireError(f"field {self.number} is no number")
        return self.value - _WRAP if self.value & _SIGN else self.value

    @property
    def numbers(self) -> list[int]:
        """A repeated number: packed, or one entry of it.

        Raises:
            WireError: It is neither.
        """
        if isinstance(self.value, int):
            return [self.number_value]
        found, at = [], 0
        while at < len(self.value):
            number, at = _varint(self.value, at)
            found.append(number - _WRAP if number & _SIGN else number)
        return found


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        WireError: The bytes are no whole message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield Field(number, value)
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise WireError(f"wire type {kind}")
        if at + length > len(message):
            raise WireError("a field that ends behind its message")
        part = message[at : at + length]
        at += length
        yield Field(number, part if kind == _BYTES else int.from_bytes(part, "little"))


def varint(number: int) -> bytes:
    """A whole number from 0 as it stands in a message."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encoded(number: int, value: int | bytes | memoryview) -> bytes:
    """One field: a number as a varint, anything else with its length in front."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    return b"".join((varint(number << 3 | _BYTES), varint(len(value)), value))


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for place in range(_LONGEST_VARINT):
        if at >= len(data):
            raise WireError("a number that ends behind its message")
        byte = data[at]
        number |= (byte & 0x7F) << (7 * place)
        at += 1
        if byte < 0x80:
            return number & (_WRAP - 1), at
    raise WireError("a number of more than ten bytes")
