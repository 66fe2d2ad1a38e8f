"""Reading the small files in which a Linux machine describes itself, below any root.

The root is `/` for the machine at hand, or a folder that holds files recorded from another one. What is
missing, unreadable or not a number is None: every board lacks some of these files, and a sensor of a part
that is asleep answers with an error.
"""

from __future__ import annotations

import re
from pathlib import Path

LARGEST_BYTES = 32 << 20
"""Nothing read here is longer; dpkg's status file, the longest, has a few MB."""


class Files:
    """Files below one root. Names are written without the leading slash, such as ``proc/cpuinfo``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{str(root).rstrip('/')}/"

    def text(self, name: str) -> str | None:
        """The file's text without surrounding white space and NULs; None if it cannot be read."""
        try:
            with open(self._prefix + name, "rb") as file:  # noqa: PTH123 - read often, beside timed code
                raw = file.read(LARGEST_BYTES)
        except OSError:
            return None
        return raw.decode(errors="replace").strip(" \t\r\n\0")

    def integer(self, name: str, base: int = 10) -> int | None:
        """The file's text as a whole number; None if it is not one."""
        try:
            return int(self.text(name) or "", base)
        except ValueError:
            return None

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder, readable or not."""
        try:
            return (self.root / name).exists()
        except OSError:
            return False

    def names(self, pattern: str) -> list[str]:
        """Names that match, numbers in them ordered by value: ``cpu2`` before ``cpu10``."""
        found = [path.relative_to(self.root).as_posix() for path in self.root.glob(pattern)]
        return sorted(
            found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]
        )

    def fields(self, name: str) -> dict[str, str]:
        """Lines of ``key: value`` or ``key=value``; the first of equal keys wins, quotes are dropped."""
        return parse_fields(self.text(name) or "")


def parse_fields(text: str) -> dict[str, str]:
    """Lines of ``key: value`` or ``key=value``, as `Files.fields` reads them."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = re.split(r"\s*[:=]\s*", line.strip(), maxsplit=1)
        if len(parts) == 2 and parts[0]:
            found.setdefault(parts[0], parts[1].strip().strip("\"'"))
    return found


def count_listed(text: str) -> int:
    """How many numbers a kernel list names: ``0-3,6`` names five."""
    total = 0
    for part in filter(None, text.strip().split(",")):
        low, _, high = part.partition("-")
        if not low.isdigit() or not (high or low).isdigit():
            return 0
        total += int(high or low) - int(low) + 1
    return total
