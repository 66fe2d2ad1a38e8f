"""What `compress` shows while it works: bars on a terminal, lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.search_space import Candidate
from export.trial import Trial

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_MINUTES_FROM_S = 100


class SearchProgress:
    """Lines for files and pipes; the base of `_Bars`."""

    def __init__(self) -> None:
        self._total = 0
        self._seconds: list[float] = []
        self._deadline: float | None = None

    def resumed(self, done: Sequence[Trial], total: int) -> None:
        """A search begins, or goes on with these trials."""
        self._total, self._seconds = total, [trial.seconds for trial in done]
        if done:
            self.say(f"{len(done)} finished trial{'s are' if len(done) > 1 else ' is'} kept")

    def begin(self, number: int, total: int, candidate: Candidate, left_s: float | None) -> None:
        """A trial begins; `left_s` seconds are left for beginning others."""
        self._deadline = None if left_s is None else time.monotonic() + left_s
        self.say(f"trial {number} of {total}: {candidate.label}{self._time_left(number)}")

    def step(self, what: str, done: int, total: int) -> None:
        """Part of a trial, as `export.prove.Progress`."""

    def finish(self, trial: Trial, best: str) -> None:
        """A trial has ended; `best` says what would be chosen now."""
        self._seconds.append(trial.seconds)
        self.say(outcome(trial) + (f"\n  best so far: {best}" if best else ""))

    def say(self, line: str) -> None:
        """One line for a person."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def _time_left(self, number: int) -> str:
        """At the pace so far, and never past the timeout."""
        bounds = []
        if self._seconds:
            bounds.append(sum(self._seconds) / len(self._seconds) * (self._total - number + 1))
        if self._deadline is not None:
            bounds.append(self._deadline - time.monotonic())
        if not bounds:
            return ""
        left_s = max(0.0, min(bounds))
        return (
            f" (about {left_s / 60:.0f} min left)"
            if left_s >= _MINUTES_FROM_S
            else f" (about {left_s:.0f} s left)"
        )


def outcome(trial: Trial) -> str:
    """One line on a finished trial."""
    if trial.failure is not None:
        return f"  failed: {trial.failure}"
    return "\n".join(
        f"  {one.target}: drop {one.drop:+.2f} points, {one.latency.ratio:.2f}× latency "
        f"({one.latency.low:.2f}–{one.latency.high:.2f}), {one.size_ratio:.2f}× size"
        + (", no gain" if one.no_gain else "")
        for one in trial.figures
    )


class _Bars(SearchProgress):
    def __init__(self, bars: Progress) -> None:
        super().__init__()
        self._bars = bars
        self._all: TaskID | None = None
        self._step: TaskID | None = None
        self._what = ""

    def resumed(self, done: Sequence[Trial], total: int) -> None:
        self._all = self._bars.add_task("search", total=total, completed=len(done))
        super().resumed(done, total)

    def begin(self, number: int, total: int, candidate: Candidate, left_s: float | None) -> None:
        super().begin(number, total, candidate, left_s)
        if self._all is not None:
            self._bars.update(self._all, description=f"trial {number} of {total}{self._time_left(number)}")

    def step(self, what: str, done: int, total: int) -> None:
        if self._step is None:
            self._step = self._bars.add_task(what, total=total)
        if what != self._what:
            # One line for all steps, whose clock starts with each.
            self._bars.reset(self._step)
            self._what = what
        self._bars.update(self._step, description=what, completed=done, total=total)

    def finish(self, trial: Trial, best: str) -> None:
        super().finish(trial, best)
        if self._all is not None:
            self._bars.update(self._all, completed=trial.number)

    def say(self, line: str) -> None:
        self._bars.console.print(line, highlight=False, markup=False)


@contextmanager
def search_progress() -> Iterator[SearchProgress]:
    """Progress for the length of the with-block."""
    if not sys.stderr.isatty():
        yield SearchProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns: tuple[Any, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)
