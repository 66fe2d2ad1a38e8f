"""How videos, addresses and cameras are named. Imports nothing slow: `edgewright --help` reads it."""

from __future__ import annotations

import re
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    (
        ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts",
        ".webm", ".wmv",
    )
)  # fmt: skip
_CAMERA = re.compile(r"camera:(\d+)|/dev/video(\d+)")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")


def is_stream(word: str) -> bool:
    """Whether a word on the command line names a video, a camera or an address rather than a picture."""
    if camera_number(word) is not None or is_address(word):
        return True
    return Path(word).suffix.lower() in VIDEO_SUFFIXES


def camera_number(word: str) -> int | None:
    """The number of the camera that `word` names; None where it names something else."""
    match = _CAMERA.fullmatch(word)
    return int(match[1] or match[2]) if match else None


def is_address(word: str) -> bool:
    """Whether `word` is an address, such as ``rtsp://host/path``, rather than a path."""
    return bool(_ADDRESS.match(word))


def shown_address(address: str) -> str:
    """An address as it may be printed: user, password and query are left out, since they can be secrets."""
    scheme, _, rest = address.partition("://")
    # The last @ of all: a password may hold one, or a slash, where nobody encoded it.
    return f"{scheme}://{re.split('[?#]', rest)[0].rpartition('@')[2]}"
