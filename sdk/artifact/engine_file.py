"""The contract inside `.trt` and `.engine`: a frame in front of the TensorRT plan.

b"EDGEWRT1" | uint64 little-endian: bytes of the manifest | SHA-256 of the manifest | manifest | plan
"""

from __future__ import annotations

import hashlib
import struct

from sdk.artifact.sealed import Parts, damaged

_MAGIC = b"EDGEWRT1"
_HEAD = struct.Struct("<8sQ32s")


def join(payload: bytes, manifest: bytes) -> bytes:
    """The frame and the plan."""
    return _HEAD.pack(_MAGIC, len(manifest), hashlib.sha256(manifest).digest()) + manifest + payload


def split(data: bytes, name: str) -> Parts | None:
    """Take a file apart; None when it carries no contract.

    Raises:
        ArtifactError: The contract was altered.
    """
    if not data.startswith(_MAGIC):
        return None
    if len(data) < _HEAD.size:
        raise damaged(name)
    _, length, digest = _HEAD.unpack_from(data)
    manifest = data[_HEAD.size : _HEAD.size + length]
    if len(manifest) != length or hashlib.sha256(manifest).digest() != digest:
        raise damaged(name)
    plan = data[_HEAD.size + length :]
    return Parts((plan,), manifest, plan)


def canonical(payload: bytes) -> bytes:
    """The payload as it is hashed: the plan itself."""
    return payload
