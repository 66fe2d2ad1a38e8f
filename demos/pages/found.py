"""Which artifacts a task's name means: those of the newest run below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from runtimes import EdgewrightError, UsageError
from sdk.artifact import read_artifact

SUFFIXES = (".onnx", ".pte", ".trt", ".engine", ".safetensors")
"""In the order in which a demo prefers them."""
DEEPEST = 4
"""Folders below the one that is searched."""
_PASSED_OVER = ("checkpoints", "node_modules", "site-packages")


def artifacts_of_task(task: str, folder: Path) -> list[Path]:
    """The artifacts of one task in the folder with the newest of them; checkpoints only where alone.

    Args:
        task: Such as ``product``.
        folder: Searched `DEEPEST` folders deep; hidden folders are not.

    Raises:
        UsageError: There are none.
    """
    tasks: dict[str, list[Path]] = {}
    for path in _candidates(folder):
        known = _task_of(path)
        if known is not None:
            tasks.setdefault(known, []).append(path)
    mine = tasks.get(task, [])
    if not mine:
        there = ", ".join(sorted(tasks)) or "none of any task"
        raise UsageError(
            f"Demo {task!r}",
            got=f"no artifact of that task below {str(folder)!r} (there: {there})",
            expected="an artifact's file, or a task of which an artifact is there",
            fix="Name the file, point --search at your runs, or make one: `edgewright quickstart`.",
        )
    newest = max(mine, key=lambda path: path.stat().st_mtime).parent
    beside = sorted((path for path in mine if path.parent == newest), key=_preferred)
    deployed = [path for path in beside if path.suffix.lower() != ".safetensors"]
    return deployed or beside


def _candidates(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        deep = len(Path(here).relative_to(folder).parts)
        folders[:] = sorted(
            name
            for name in folders
            if deep < DEEPEST and not name.startswith(".") and name not in _PASSED_OVER
        )
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(here, name)


def _task_of(path: Path) -> str | None:
    """The task that made an artifact; None for files that are none of this version."""
    try:
        return read_artifact(path).spec.task
    except EdgewrightError:
        return None


def _preferred(path: Path) -> tuple[int, int, str]:
    """The plain one of each model first, and what needs least first."""
    return SUFFIXES.index(path.suffix.lower()), len(path.stem), path.name
