"""Finding the shim: a small library that makes the C++ runtime in the executorch package callable by ctypes.

`edgewright build-native` compiles it; nothing else does. It is kept under a key of its source and of the
executorch that it was linked against, so one for another version is never found.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from runtimes.errors import EngineMissingError

SOURCE = Path(__file__).parent / "native" / "executorch_shim.cpp"
BUILD_COMMAND = "edgewright build-native"
FOLDER_VARIABLE = "EDGEWRIGHT_NATIVE"


class Package(NamedTuple):
    """An installed executorch: its folder and its version, found without importing it."""

    folder: Path
    version: str

    @property
    def headers(self) -> Path:
        """What `#include <executorch/…>` is relative to."""
        return self.folder / "include"

    @property
    def libraries(self) -> Path:
        """Folder of the shared libraries."""
        return self.folder / "lib"

    @property
    def key(self) -> str:
        """Of a shim for this package, made from the present source: both change it."""
        made_of = (
            *(path.read_bytes() for path in sorted(SOURCE.parent.glob("executorch_*"))),
            (self.folder / "version.py").read_bytes(),
            str(self.folder).encode(),
            platform.machine().encode(),
        )
        return hashlib.sha256(b"\0".join(made_of)).hexdigest()[:16]


def find_package() -> Package:
    """The installed executorch.

    Raises:
        EngineMissingError: There is none.
    """
    spec = find_spec("executorch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        version_file = Path(folder) / "version.py"
        if version_file.is_file():
            said = re.search(r'__version__\s*=\s*"([^"+]+)', version_file.read_text(encoding="utf-8"))
            return Package(Path(folder).resolve(), said[1] if said else "unknown")
    raise EngineMissingError(
        "Engine executorch",
        got="no such package",
        expected="executorch, which opens .pte",
        fix="Run: pip install 'edgewright[executorch]'.",
    )


def folders() -> tuple[Path, ...]:
    """Where a shim may lie, in the order in which it is looked for.

    `$EDGEWRIGHT_NATIVE` alone where that is set; else the environment's own folder, and the user's cache for
    environments that the user may not write to.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return (Path(named),)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(sys.prefix) / "lib" / "edgewright", cache / "edgewright" / "native"


def find_shim(package: Package) -> Path | None:
    """The compiled shim for `package`; None where it was not built."""
    name = file_name(package)
    return next((folder / name for folder in folders() if (folder / name).is_file()), None)


def file_name(package: Package) -> str:
    """Of the compiled shim for `package`."""
    return f"executorch_shim-{package.version}-{package.key}.so"
