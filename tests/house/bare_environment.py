"""A virtual environment that holds numpy and Pillow, and what else a test names; made without a network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

BASE = ("numpy", "PIL")


def make_environment(
    folder: Path, source: Path, packages: tuple[str, ...] = (), rooms: tuple[str, ...] = ("sdk", "runtimes")
) -> Path:
    """Make the environment and return its python.

    Args:
        folder: Where it goes.
        source: The folder that holds the rooms.
        packages: Import names beside numpy and PIL, taken from the running environment.
        rooms: Which of the project's rooms the environment sees.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    for room in rooms:
        (site / room).symlink_to(source / room)
    for package in (*BASE, *packages):
        _link(package, site)
    # The entry points of the running installation.
    for found in Path(sysconfig.get_path("purelib")).glob("edgewright-*.dist-info"):
        (site / found.name).symlink_to(found)
    return folder / "bin" / "python"


def run_isolated(python: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script without the caller's PYTHONPATH, user site and current folder."""
    command = [str(python), "-I", "-B", "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=python.parent)


def _link(package: str, site: Path) -> None:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"the running environment has no {package}"
    home = Path(spec.origin).parent
    (site / package).symlink_to(home)
    # Shared libraries that the wheel keeps beside the package.
    for libraries in home.parent.glob(f"{'pillow' if package == 'PIL' else package}.libs"):
        (site / libraries.name).symlink_to(libraries)
