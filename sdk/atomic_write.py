"""Write files so that a killed process leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from runtimes import UsageError


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write `data` under a temporary name in the same folder, flush it to disk, and rename it.

    Args:
        path: Final name. Its folder must exist.
        data: Bytes, or text to be stored as UTF-8.

    Returns:
        `path` as a `Path`.

    Raises:
        UsageError: The folder is missing, full or not writable.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    # A leading dot: folders that are predicted on or listed do not show what a killed process left.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            f"Output {path.name}",
            got=f"{error.strerror or error} in {str(path.parent)!r}",
            expected="a folder that can be written to",
            fix="Create the folder, free some space, or choose another with --out.",
        ) from error
    return path
