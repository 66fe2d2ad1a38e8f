"""The contract inside `.trt` and `.engine`: a frame in front of the TensorRT plan.

b"EDGEWRT1" | uint64 little-endian: bytes of the manifest | SHA-256 of the manifest | manifest | plan

Where there are several graphs, in place of the plan stand several, each with its name in front:

b"EDGEPLNS" | uint32 little-endian: how many | for each: uint32 and the name, uint64 and the plan
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from sdk.artifact.sealed import Parts, damaged

_MAGIC = b"EDGEWRT1"
_HEAD = struct.Struct("<8sQ32s")
_PLANS = b"EDGEPLNS"
_COUNT, _LENGTH = struct.Struct("<I"), struct.Struct("<Q")


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


def join_plans(plans: Mapping[str, bytes]) -> bytes:
    """The payload of several graphs; of one it is the plan itself."""
    if len(plans) == 1:
        return next(iter(plans.values()))
    parts = [_PLANS, _COUNT.pack(len(plans))]
    for name, plan in plans.items():
        parts += [_COUNT.pack(len(name.encode())), name.encode(), _LENGTH.pack(len(plan)), plan]
    return b"".join(parts)


def graph_of(program: bytes, name: str, first: bool) -> bytes:
    """The plan of one of the file's graphs.

    Raises:
        ArtifactError: There is none of that name.
    """
    if not program.startswith(_PLANS):
        if first:
            return program
        raise damaged(f"graph {name}")
    plans, at = {}, len(_PLANS) + _COUNT.size
    for _ in range(*_COUNT.unpack_from(program, len(_PLANS))):
        (length,), at = _COUNT.unpack_from(program, at), at + _COUNT.size
        called, at = program[at : at + length].decode(), at + length
        (length,), at = _LENGTH.unpack_from(program, at), at + _LENGTH.size
        plans[called], at = program[at : at + length], at + length
    if name not in plans:
        raise damaged(f"graph {name}")
    return plans[name]
