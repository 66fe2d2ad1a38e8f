"""The contract inside `.pte`: a constant method holds the manifest, a seal follows the program.

The method ``edgewright_manifest`` returns the manifest as a string, so that Android and iOS read it with
the engine they have. It is lowered as a blank of known length (`reserve`) and filled in afterwards. Behind
the program stands a seal of fixed length, which ExecuTorch ignores:

    program … [manifest, padded with spaces] … | b"EDGEWPTE" | offset | length of the blank | SHA-256

with two uint64 little-endian numbers and the SHA-256 of the filled blank.
"""

from __future__ import annotations

import hashlib
import struct

from runtimes import ArtifactError
from sdk.artifact.sealed import Parts, damaged

MANIFEST_METHOD = "edgewright_manifest"
_MARKER = b"EDGEWRIGHT-MANIFEST-GOES-HERE:"
_SEAL = struct.Struct("<8sQQ32s")
_MAGIC = b"EDGEWPTE"


def reserve(length: int) -> str:
    """A blank for `length` bytes of manifest, to be lowered as the constant `MANIFEST_METHOD`."""
    return _MARKER.decode() + " " * max(0, length - len(_MARKER))


def join(payload: bytes, manifest: bytes) -> bytes:
    """Fill the blank and add the seal.

    Raises:
        ArtifactError: The program has no blank, or it is too small.
    """
    start = payload.find(_MARKER)
    if start < 0 or payload.find(_MARKER, start + 1) >= 0:
        raise ArtifactError(
            "ExecuTorch program",
            got="no blank for the contract",
            expected=f"one constant method {MANIFEST_METHOD!r}",
            fix="Lower it with `edgewright export`.",
        )
    length = _blank_length(payload, start)
    if len(manifest) > length:
        raise ArtifactError(
            "Manifest",
            got=f"{len(manifest)} bytes",
            expected=f"at most {length}",
            fix="Export again with fewer or smaller golden samples.",
        )
    filled = manifest.ljust(length)
    seal = _SEAL.pack(_MAGIC, start, length, hashlib.sha256(filled).digest())
    return payload[:start] + filled + payload[start + length :] + seal


def split(data: bytes, name: str) -> Parts | None:
    """Take a file apart; None when it carries no contract.

    Raises:
        ArtifactError: The contract was altered.
    """
    if len(data) < _SEAL.size:
        return None
    magic, start, length, digest = _SEAL.unpack(data[-_SEAL.size :])
    if magic != _MAGIC:
        return None
    program = memoryview(data)[: -_SEAL.size]
    filled = bytes(program[start : start + length])
    if len(filled) != length or hashlib.sha256(filled).digest() != digest:
        raise damaged(name)
    blank = reserve(length).encode()
    if len(blank) != length:
        raise damaged(name)
    return Parts((program[:start], blank, program[start + length :]), filled.rstrip(b" "), data)


def canonical(payload: bytes) -> bytes:
    """The payload as it is hashed: the program with its blank empty."""
    return payload


def _blank_length(payload: bytes, start: int) -> int:
    end = start + len(_MARKER)
    while end < len(payload) and payload[end] == 0x20:
        end += 1
    return end - start


def graph_of(program: bytes, name: str, first: bool) -> bytes:  # noqa: ARG001 - other formats have parts
    """What the engine opens for one of the file's graphs: the whole file, of which it is told the graph."""
    return program
