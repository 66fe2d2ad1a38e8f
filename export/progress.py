"""Progress on standard error: bars on a terminal, one line per finished step elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from export.prove import Progress


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """A `progress(what, done, total)` callback for the length of the with-block."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, object] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)  # type: ignore[arg-type]

        yield show


def epochs_as_steps(progress: Progress, what: str, epochs: int) -> Callable[[str], None]:
    """What training says, as steps of one piece of work.

    Args:
        progress: Told ``(what, done, total)`` at once and after every epoch; the end is the caller's to tell.
        what: Name of the work.
        epochs: How many there will be.

    Returns:
        Takes the lines that `train.loop.train` says: one for every epoch, which begins with that word.
    """
    total = epochs + 1  # the last step is what comes after training
    progress(what, 0, total)
    told: list[str] = []

    def say(line: str) -> None:
        if line.startswith("epoch "):
            told.append(line)
            progress(what, min(len(told), epochs), total)

    return say


class _Lines:
    """Says what begins and, when it ends, how long it took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._started:
            self._started[what] = time.monotonic()
        if done >= total:
            sys.stderr.write(f"{what}: {time.monotonic() - self._started[what]:.1f} s\n")
            sys.stderr.flush()
