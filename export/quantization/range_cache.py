"""Measured ranges on disk, under the hash of everything they depend on: a stale one cannot be found."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.atomic_write import atomic_write

Ranges = dict[str, tuple[float, float]]
"""Lowest and highest value of tensors by name."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/edgewright/calibration``, below ``~/.cache`` where that is not set.

    See the XDG Base Directory Specification: a relative path in the variable is ignored.
    """
    stated = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(stated) if Path(stated).is_absolute() else Path.home() / ".cache"
    return home / "edgewright" / "calibration"


def cache_key(parts: Mapping[str, Any]) -> str:
    """SHA-256 over everything that ranges depend on; plain JSON values."""
    return hashlib.sha256(_canonical(parts)).hexdigest()


def read_ranges(key: str) -> Ranges | None:
    """What was stored under `key`; None when there is nothing, or not what was written."""
    try:
        stored = json.loads(_path(key).read_bytes())
        ranges = {name: (float(low), float(high)) for name, (low, high) in stored["ranges"].items()}
        intact = stored["key"] == key and stored["sha256"] == _digest(key, ranges)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    finite = all(math.isfinite(bound) for bounds in ranges.values() for bound in bounds)
    return ranges if intact and finite else None


def write_ranges(key: str, ranges: Ranges) -> None:
    """Store `ranges` under `key`.

    Raises:
        UsageError: The cache's folder cannot be written to.
    """
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            "Calibration cache",
            got=f"{error.strerror or error} at {str(path.parent)!r}",
            expected="a folder that can be written to",
            fix="Point XDG_CACHE_HOME to one.",
        ) from error
    content = {"key": key, "sha256": _digest(key, ranges), "ranges": ranges}
    atomic_write(path, json.dumps(content, indent=1, allow_nan=False))


def _path(key: str) -> Path:
    return cache_folder() / f"{key}.json"


def _digest(key: str, ranges: Ranges) -> str:
    return hashlib.sha256(_canonical({"key": key, "ranges": ranges})).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
