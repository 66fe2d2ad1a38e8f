"""What a machine's system brings for engines, read from files: CUDA, TensorRT, Python."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from sdk.machine.files import Files
from sdk.machine.jetson import package_version

_PYTHON = re.compile(r"python(3\.\d+)$")


@dataclass(frozen=True)
class Software:
    """Software of the system, outside of any virtual environment.

    Attributes:
        cuda: Version of the CUDA toolkit under /usr/local/cuda; None: none.
        tensorrt: Version of the TensorRT that the package manager installed; None: none.
        tensorrt_python: Whether its bindings for the system's Python are installed too.
        python: Version of the system's Python, such as ``3.10``; None where /usr/bin has none.
    """

    cuda: str | None
    tensorrt: str | None
    tensorrt_python: bool
    python: str | None


def read_software(root: Path = Path("/")) -> Software:
    """Read it from the files below `root`."""
    files = Files(Path(root))
    versions = [package_version(files, name) for name in ("libnvinfer11", "libnvinfer10", "libnvinfer8")]
    return Software(
        _cuda(files),
        next((version for version in versions if version), None),
        package_version(files, "python3-libnvinfer") is not None,
        _python(files),
    )


def _cuda(files: Files) -> str | None:
    try:
        found = json.loads(files.text("usr/local/cuda/version.json") or "{}")
        version = found["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(version)


def _python(files: Files) -> str | None:
    # /usr/bin/python3 is a link to the one that the distribution's packages are built for.
    link = (files.root / "usr/bin/python3").resolve().name
    for name in (link, *reversed([name.rpartition("/")[2] for name in files.names("usr/bin/python3.*")])):
        found = _PYTHON.match(name)
        if found:
            return found[1]
    return None
