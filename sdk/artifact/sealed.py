"""What the four file formats share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from runtimes import ArtifactError


class Parts(NamedTuple):
    """An artifact file taken apart, without copies of what is large.

    Attributes:
        pieces: The payload, which the manifest's hash is of, as one or more views of the file.
        manifest: The manifest's JSON, whose own hash was checked.
        program: What the engine opens: the whole file where engines skip the contract, for then no second
            copy of the weights is needed; else the payload.
    """

    pieces: tuple[bytes | memoryview, ...]
    manifest: bytes
    program: bytes

    @property
    def payload(self) -> bytes:
        """The engine's own bytes as they were handed to `write_artifact`."""
        return b"".join(self.pieces)


def sha256(*pieces: bytes | memoryview) -> str:
    """Lower-case hexadecimal SHA-256 of the pieces in a row."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=error.strerror or str(error),
            expected="a readable file",
            fix="Check the path.",
        ) from error


def damaged(name: str) -> ArtifactError:
    """The error for bytes that are not those that were written."""
    return ArtifactError(
        f"Artifact {name!r}",
        got="bytes that do not match its own hash",
        expected="the file as it was exported",
        fix="Copy it again from where it was exported, or export the checkpoint again.",
    )
