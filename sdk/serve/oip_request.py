"""Requests of the Open Inference Protocol, version 2: JSON, and tensors as JSON or as bytes behind it.

Sources: the protocol's own specification (github.com/kserve/open-inference-protocol, REST) and the binary
tensor data extension of NVIDIA's Triton server.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes import Array, TensorInfo
from sdk.serve.problems import ProblemError
from sdk.serve.requests import parsed

BYTES = "BYTES"
"""The protocol's type of elements of any length."""
DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
"""The protocol's name of each of numpy's types that it has."""
HEADER_LENGTH = "inference-header-content-length"
"""A header: how many bytes of a body are JSON, where tensors follow it."""
_LENGTH_BYTES = 4
_BASE64 = "base64"
_MOST_AXES = 32


@dataclass(frozen=True)
class SentTensor:
    """A tensor as it came.

    Attributes:
        name: Of the input.
        datatype: As the protocol calls it.
        shape: Extents.
        data: Its bytes, or what its JSON holds.
        base64: Whether strings of its JSON are bytes in base64.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    base64: bool

    def array(self, info: TensorInfo) -> Array:
        """Its numbers, of `info`'s dtype.

        Raises:
            ProblemError: 400 for what is no such tensor.
        """
        dtype = np.dtype(info.dtype)
        sent = f"{self.datatype} {list(self.shape)}"
        if self.datatype != DATATYPES.get(info.dtype) or not info.accepts(self.shape):
            raise _no_tensor(self.name, sent, f"{DATATYPES.get(info.dtype)} of shape {shape_of(info)}")
        if isinstance(self.data, bytes):
            wanted = math.prod(self.shape) * dtype.itemsize
            if len(self.data) != wanted:
                raise _no_tensor(self.name, f"{len(self.data)} bytes", f"{wanted} for {sent}")
            return (
                np.frombuffer(self.data, dtype.newbyteorder("<"))
                .reshape(self.shape)
                .astype(dtype, copy=False)
            )
        try:
            with np.errstate(over="ignore"):
                array = np.asarray(self.data, dtype)
        except (TypeError, ValueError, OverflowError):
            raise _no_tensor(self.name, "data that are no such numbers", sent) from None
        if array.size != math.prod(self.shape):
            raise _no_tensor(self.name, f"{array.size} numbers", sent)
        return array.reshape(self.shape)

    def elements(self) -> list[bytes]:
        """The elements of a tensor of `BYTES`.

        Raises:
            ProblemError: 400 for what is no such tensor.
        """
        count = math.prod(self.shape)
        if self.datatype != BYTES:
            raise _no_tensor(self.name, self.datatype, "BYTES: one item each")
        found = _framed(self.name, self.data) if isinstance(self.data, bytes) else self._strings()
        if len(found) != count or not count:
            raise _no_tensor(self.name, f"{len(found)} elements", f"{count or 'some'} for {list(self.shape)}")
        return found

    def _strings(self) -> list[bytes]:
        flat = _flat(self.data)
        if not all(isinstance(text, str) for text in flat):
            raise _no_tensor(self.name, "JSON that holds more than strings", "strings")
        try:
            return [b64decode(text, validate=True) if self.base64 else text.encode() for text in flat]
        except ValueError:  # of which the errors of both are
            raise _no_tensor(self.name, "a string that cannot be decoded", "base64, or Unicode") from None


@dataclass(frozen=True)
class InferRequest:
    """What a client wants inferred.

    Attributes:
        identity: Its own name for it, or None.
        inputs: By name.
        outputs: Which it wants, each with whether as bytes; None: all.
        binary: Whether it wants all of them as bytes.
        timeout_ms: After which it does not wait any more, or None.
    """

    identity: str | None
    inputs: Mapping[str, SentTensor]
    outputs: Mapping[str, bool] | None
    binary: bool
    timeout_ms: float | None


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """A request's body.

    Args:
        body: JSON, and perhaps tensors behind it.
        header_length: Of the header `HEADER_LENGTH`; None: all of the body is JSON.

    Raises:
        ProblemError: 400 for what is none.
    """
    length = len(body)
    if header_length is not None:
        length = int(header_length) if header_length.isdecimal() and len(header_length) < 16 else -1
        if not 0 <= length <= len(body):
            raise _bad("Inference-Header-Content-Length", f"up to {len(body)}, the body's length")
    data = parsed(body[:length])
    request = _object(data, "Request", {"id", "parameters", "inputs", "outputs"})
    asked = _parameters(request, "Request", {"binary_data_output", "timeout"})
    timeout_us, identity = asked.get("timeout"), request.get("id")
    if timeout_us is not None and not (type(timeout_us) is int and timeout_us > 0):
        raise _bad("Parameter 'timeout'", "microseconds, a positive number")
    if identity is not None and not isinstance(identity, str):
        raise _bad("Field 'id'", "a string")
    return InferRequest(
        identity,
        _inputs(request, body[length:]),
        _outputs(request),
        asked.get("binary_data_output") is True,
        None if timeout_us is None else timeout_us / 1000,
    )


def shape_of(info: TensorInfo) -> list[int]:
    """A shape as the protocol has it: -1 for what may vary."""
    return [extent if isinstance(extent, int) else -1 for extent in info.shape]


def _inputs(request: Mapping[str, Any], rest: bytes) -> dict[str, SentTensor]:
    entries = request.get("inputs")
    if not isinstance(entries, list) or not entries:
        raise _bad("Field 'inputs'", "a list of tensors")
    found: dict[str, SentTensor] = {}
    start = 0
    for entry in entries:
        tensor = _object(entry, "Input", {"name", "datatype", "shape", "data", "parameters"})
        name, shape = tensor.get("name"), tensor.get("shape")
        if not isinstance(name, str) or name in found or not isinstance(tensor.get("datatype"), str):
            raise _bad("Input", "a name, each once, and a datatype")
        if (
            not isinstance(shape, list)
            or len(shape) > _MOST_AXES
            or not all(type(extent) is int and 0 <= extent < 2**31 for extent in shape)
        ):
            raise _bad(f"Input {name[:80]!r}", "a shape, a list of numbers")
        asked = _parameters(tensor, "Input", {"binary_data_size", "content_type"})
        if asked.get("content_type", _BASE64) != _BASE64:
            raise _bad("Parameter 'content_type'", repr(_BASE64))
        size = asked.get("binary_data_size")
        data = tensor.get("data")
        if (size is None) == (data is None):
            raise _bad(f"Input {name[:80]!r}", "either 'data' or the parameter 'binary_data_size'")
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(rest) - start:
                raise _bad(
                    "Parameter 'binary_data_size'", f"up to {len(rest) - start}, what is left of the body"
                )
            data, start = rest[start : start + size], start + size
        found[name] = SentTensor(name, tensor["datatype"], tuple(shape), data, "content_type" in asked)
    if start != len(rest):
        raise _bad("Body", "no bytes but those of tensors")
    return found


def _outputs(request: Mapping[str, Any]) -> dict[str, bool] | None:
    entries = request.get("outputs")
    if entries is None or entries == []:
        return None
    if not isinstance(entries, list):
        raise _bad("Field 'outputs'", "a list")
    found: dict[str, bool] = {}
    for entry in entries:
        output = _object(entry, "Output", {"name", "parameters"})
        name = output.get("name")
        if not isinstance(name, str) or name in found:
            raise _bad("Output", "a name, each once")
        found[name] = _parameters(output, "Output", {"binary_data"}).get("binary_data") is True
    return found


def _object(data: Any, subject: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise _bad(subject, "a JSON object")
    if set(data) - known:
        raise _bad(subject, f"no fields but {', '.join(sorted(known))}")
    return data


def _parameters(data: Mapping[str, Any], subject: str, known: set[str]) -> Mapping[str, Any]:
    """What is not known is refused: shared memory, sequences and classification change what an answer is."""
    return _object(data.get("parameters") or {}, f"Parameters of the {subject.lower()}", known)


def _framed(name: str, data: bytes) -> list[bytes]:
    """Elements that each follow their length, 4 bytes, the lowest first."""
    found, at = [], 0
    while at < len(data):
        end = at + _LENGTH_BYTES
        end += int.from_bytes(data[at:end], "little")
        if end > len(data) or end < at + _LENGTH_BYTES:
            raise _no_tensor(name, "bytes that end inside of an element", "its length in 4 bytes, then it")
        found.append(data[at + _LENGTH_BYTES : end])
        at = end
    return found


def _flat(data: Any) -> list[Any]:
    """Nested lists as one."""
    found, todo = [], [data]
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo.extend(reversed(part))
        else:
            found.append(part)
    return found


def _bad(subject: str, expected: str) -> ProblemError:
    return ProblemError(400, f"{subject}: got another, expected {expected}. Correct the request.")


def _no_tensor(name: str, got: str, expected: str) -> ProblemError:
    return ProblemError(400, f"Input {name[:80]!r}: got {got}, expected {expected}. Correct the request.")
