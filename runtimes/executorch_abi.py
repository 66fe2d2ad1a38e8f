"""The C interface of `native/executorch_shim.cpp`: its structures, its functions, its loading."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

from runtimes.errors import EngineMissingError, first_line
from runtimes.executorch_shim import BUILD_COMMAND, Package, find_shim

ABI = 1
"""Raised with every change of a structure or a signature, there and here."""
MAX_RANK = 16
TENSOR, INTEGER, REAL, TRUTH = range(4)
"""Kinds of a `Value`; any other number is something that this interface has no place for."""


class Value(ctypes.Structure):
    """`edgewright_value` of the shim."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("contiguous", ctypes.c_int32),
        ("sizes", ctypes.c_int64 * MAX_RANK),
        ("strides", ctypes.c_int64 * MAX_RANK),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("integer", ctypes.c_int64),
        ("real", ctypes.c_double),
    )


class RawEvent(ctypes.Structure):
    """`edgewright_event` of the shim."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("instruction", ctypes.c_int32),
        ("delegate_id", ctypes.c_int32),
        ("in_delegate", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("start_ns", ctypes.c_int64),
        ("end_ns", ctypes.c_int64),
    )


def load_shim(package: Package) -> ctypes.CDLL:
    """The compiled shim of `package`, once per process.

    Raises:
        EngineMissingError: It was not built, or cannot be loaded.
    """
    path = find_shim(package)
    if path is None:
        raise _missing("none built for this executorch", f"Run: {BUILD_COMMAND}.")
    return _load(path)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    try:
        shim = ctypes.CDLL(str(path))
        there = shim.edgewright_abi()
    except (OSError, AttributeError) as error:
        raise _missing(first_line(error), f"Run: {BUILD_COMMAND}, which replaces it.") from error
    if there != ABI:
        raise _missing(f"interface {there}, not {ABI}", f"Run: {BUILD_COMMAND}.")
    _declare(shim)
    return shim


def _missing(got: str, fix: str) -> EngineMissingError:
    return EngineMissingError(
        "ExecuTorch shim",
        got=got,
        expected="the compiled library that opens .pte without torch",
        fix=f"{fix} Or use native=False, which imports torch.",
    )


def _declare(shim: ctypes.CDLL) -> None:
    pointer, count, number, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32, ctypes.c_char_p
    reason = (text, count)  # buffer and size for the message
    signatures: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "open": (number, (pointer, count, pointer, *reason)),
        "close": (None, (pointer,)),
        "methods": (count, (pointer,)),
        "method_name": (text, (pointer, count)),
        "load": (number, (pointer, text, number, pointer, *reason)),
        "unload": (None, (pointer,)),
        "arity": (ctypes.c_int64, (pointer, text, number)),
        "describe": (number, (pointer, text, number, count, pointer, *reason)),
        "delegate": (text, (pointer, text, count)),
        "run": (number, (pointer, pointer, count, pointer, count, *reason)),
        "events": (count, (pointer,)),
        "event_at": (None, (pointer, count, pointer)),
        "clear_events": (None, (pointer,)),
        "set_threads": (number, (ctypes.c_uint32, *reason)),
        "threads": (count, ()),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(shim, f"edgewright_{name}")
        function.restype, function.argtypes = result, arguments
