"""What the four file formats share."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from runtimes import ArtifactError


class Parts(NamedTuple):
    """An artifact file taken apart.

    Attributes:
        payload: What the engine opens.
        manifest: The manifest's JSON, whose own hash was checked.
    """

    payload: bytes
    manifest: bytes


def sha256(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def damaged(name: str) -> ArtifactError:
    """The error for bytes that are not those that were written."""
    return ArtifactError(
        f"Artifact {name!r}",
        got="bytes that do not match its own hash",
        expected="the file as it was exported",
        fix="Copy it again from where it was exported, or export the checkpoint again.",
    )
