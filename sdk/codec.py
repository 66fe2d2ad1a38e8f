"""Strict JSON for frozen dataclasses: nothing unknown is accepted, nothing missing is filled in.

Supported field types: bool, int, float, str, None, `tuple[T, ...]`, `tuple[A, B]`, `dict[str, T]`,
unions of these, nested dataclasses, `Any` for free-form JSON, and *kinds*: abstract classes that
offer ``from_json``/``to_json`` themselves.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from runtimes.errors import SpecError

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Turn a dataclass tree into plain dicts, lists and scalars."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_to_json(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def fields_to_json(value: Any) -> dict[str, Any]:
    """One dataclass as a dict, every field written."""
    return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}


def from_json(kind: type[T], data: Any, where: str) -> T:
    """Build the frozen dataclass `kind` from parsed JSON.

    Args:
        kind: A dataclass whose fields use the supported types.
        data: What `json.loads` gave.
        where: Path for messages, such as ``spec.input``.

    Raises:
        SpecError: A key is unknown or missing, or a value has another type.
    """
    hints = _fields(kind)  # type: ignore[arg-type]
    require_keys(tuple(hints), data, where)
    values = {name: _value(hints[name], data[name], f"{where}.{name}") for name in hints}
    return kind(**values)


def require_keys(names: tuple[str, ...], data: Any, where: str) -> None:
    """Refuse anything but an object with exactly the keys `names`.

    Raises:
        SpecError: It is no object, or a key is unknown or missing.
    """
    if not isinstance(data, Mapping):
        raise _wrong(where, data, "an object", "Write it as a JSON object.")
    unknown = sorted(set(data) - set(names))
    missing = sorted(set(names) - set(data))
    if unknown:
        raise _wrong(
            where,
            f"unknown key {unknown[0]!r}",
            f"only {list(names)}",
            "Remove it, or use the Edgewright version that wrote it.",
        )
    if missing:
        raise _wrong(
            where,
            f"no key {missing[0]!r}",
            f"all of {list(names)}",
            "Write it: nothing in a contract has a silent default.",
        )


def read_value(hint: Any, data: Any, where: str) -> Any:
    """`data` as a value of the type `hint`, which is one of those that fields may have.

    Raises:
        SpecError: It is another one.
    """
    return _value(hint, data, where)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Each field's type by name. Resolved once: a manifest holds the same few classes many times."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _value(hint: Any, data: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), data, where)
    if origin is tuple:
        return _tuple(get_args(hint), data, where)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(data, Mapping):
            raise _wrong(where, data, "an object", "Write it as a JSON object.")
        return {key: _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in data.items()}
    if hint in (bool, int, float, str, type(None)):
        return _scalar(hint, data, where)
    if hasattr(hint, "from_json"):
        return hint.from_json(data, where)
    return from_json(hint, data, where)


def _union(options: tuple[Any, ...], data: Any, where: str) -> Any:
    problem: SpecError | None = None
    for option in options:
        try:
            return _value(option, data, where)
        except SpecError as error:
            problem = problem or error  # what was meant comes first, as in `Metric | None`
    assert problem is not None
    raise problem


def _tuple(items: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise _wrong(where, data, "a list", "Write it as a JSON array.")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_value(items[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(items) != len(data):
        raise _wrong(where, f"{len(data)} entries", f"{len(items)}", "Write one value per entry.")
    pairs = zip(items, data, strict=True)
    return tuple(_value(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(pairs))


def _scalar(hint: type, data: Any, where: str) -> Any:
    if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        if math.isfinite(data):
            return float(data)
    elif type(data) is hint:
        return data
    raise _wrong(where, repr(data), f"a {hint.__name__}", "Correct the value.")


def _wrong(where: str, got: object, expected: str, fix: str) -> SpecError:
    return SpecError(where, got=str(got), expected=expected, fix=fix)
