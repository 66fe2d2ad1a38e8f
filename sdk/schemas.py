"""Pieces of JSON Schema (draft 2020-12, which OpenAPI 3.1 has), for kinds that describe items and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes import TensorInfo

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PNG: Schema = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
SIZE_WH: Schema = {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2}
FILE: Schema = {
    "type": "object",
    "properties": {"base64": {"type": "string", "contentEncoding": "base64"}},
    "required": ["base64"],
    "additionalProperties": False,
}
"""A file's bytes."""


def record(fields: Mapping[str, Schema]) -> Schema:
    """An object with exactly these fields."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }


def listed(entry: Schema, *, least: int = 0, most: int | None = None) -> Schema:
    """An array of `entry`, of so many."""
    bounds: Schema = {"minItems": least} if least else {}
    if most is not None:
        bounds["maxItems"] = most
    return {"type": "array", "items": entry, **bounds}


def one_of(values: Sequence[str]) -> Schema:
    """One of some strings."""
    return {"type": "string", "enum": list(values)}


def or_null(schema: Schema) -> Schema:
    """It, or nothing."""
    return {"anyOf": [schema, {"type": "null"}]}


def nested(info: TensorInfo) -> Schema:
    """A tensor as lists in lists."""
    names = {"b": "boolean", "i": "integer", "u": "integer"}
    schema: Schema = {"type": names.get(info.dtype[0], "number")}
    if info.dtype[0] in "iu":
        bits = int("".join(filter(str.isdigit, info.dtype)))
        low, high = (0, 2**bits - 1) if info.dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        schema |= {"minimum": low, "maximum": high}
    for extent in reversed(info.shape):
        least, most = (extent, extent) if isinstance(extent, int) else (extent.min, extent.max)
        schema = listed(schema, least=least, most=most)
    return schema
