"""The contract inside `.safetensors`: the key ``edgewright`` of the header's ``__metadata__``.

The layout is that of the safetensors format: uint64 little-endian header length, JSON header, tensor
data. The payload is the same file without our two keys, its header written in one canonical way.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from runtimes import ArtifactError
from sdk.artifact.sealed import Parts, damaged, sha256

_KEY, _SEAL = "edgewright", "edgewright_sha256"
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8


def join(payload: bytes, manifest: bytes) -> bytes:
    """The checkpoint with the manifest in its header."""
    header, data = _take_apart(payload, "checkpoint")
    metadata = {**header.get("__metadata__", {}), _KEY: manifest.decode(), _SEAL: sha256(manifest)}
    return _put_together({**header, "__metadata__": metadata}, data)


def split(data: bytes, name: str) -> Parts | None:
    """Take a file apart; None when it carries no contract.

    Raises:
        ArtifactError: No safetensors file, or its contract was altered.
    """
    header, tensors = _take_apart(data, name)
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not {_KEY, _SEAL} & set(metadata):
        return None
    manifest = metadata.get(_KEY)
    if not isinstance(manifest, str) or sha256(manifest.encode()) != metadata.get(_SEAL):
        raise damaged(name)
    payload = _without_contract(header, tensors)
    return Parts((payload,), manifest.encode(), payload)


def canonical(payload: bytes) -> bytes:
    """The payload as it is hashed: no contract, header keys sorted."""
    header, data = _take_apart(payload, "checkpoint")
    return _without_contract(header, data)


def _without_contract(header: dict[str, Any], data: bytes) -> bytes:
    metadata = {key: v for key, v in header.get("__metadata__", {}).items() if key not in (_KEY, _SEAL)}
    tensors = {key: value for key, value in header.items() if key != "__metadata__"}
    return _put_together({**tensors, "__metadata__": metadata} if metadata else tensors, data)


def _take_apart(data: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    try:
        (length,) = _LENGTH.unpack_from(data)
        if length > len(data) - _LENGTH.size:
            raise ValueError
        header = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        header.get("__metadata__", {}).keys()  # neither may be anything but an object
    except (ValueError, AttributeError, struct.error) as error:
        raise ArtifactError(
            f"Artifact {name!r}",
            got="a file whose header is not that of safetensors",
            expected="a checkpoint written by `edgewright train`",
            fix="Copy it again: it is truncated or altered.",
        ) from error
    return header, data[_LENGTH.size + length :]


def _put_together(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text + data


def graph_of(program: bytes, name: str, first: bool) -> bytes:  # noqa: ARG001 - other formats have parts
    """What the engine opens for one of the file's graphs: the whole file, of which it is told the graph."""
    return program
