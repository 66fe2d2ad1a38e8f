"""Watching the clock while something is timed: a run whose clock fell is no measurement."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sdk.machine.clock_sources import Busyness, ClockSource, open_clock_sources
from sdk.machine.files import Files
from sdk.machine.throttle import Alarms, Thermometers, pi_flags, pi_reason, throttle_counters

FALL = 0.90
"""A clock that falls below this fraction of what it was before has fallen. Turbo's own steps are finer: it
moves by one or two of its 100 MHz bins while the load stays the same."""
SMOOTHED_SAMPLES = 5
"""Samples whose median counts as the clock of a moment: one odd reading is no fall."""
NO_CLOCK = "this machine shows no clock (as virtual machines do not)"


@dataclass(frozen=True)
class ClockVerdict:
    """What the clock did between entering and leaving a `ClockWatch`.

    Attributes:
        throttled: True: it fell, or the machine says that it throttled; a timing of that span is void.
            None: the machine shows no clock.
        reason: Why, in words, also where it held.
        lowest_mhz: Lowest smoothed clock; None where none is shown.
        highest_mhz: Highest smoothed clock.
        samples: Readings that count: taken while the processor worked.
        temperature_max_c: Hottest sensor at any time.
        source: The files that were read, in words.
        steal_share: Share of the time for which a hypervisor ran something else in this machine's place.
    """

    throttled: bool | None
    reason: str
    lowest_mhz: float | None
    highest_mhz: float | None
    samples: int
    temperature_max_c: float | None
    source: str
    steal_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; keys are the attributes' names."""
        return asdict(self)


class ClockWatch:
    """Reads the clocks in a thread while a `with` block runs.

    Args:
        root: `/`, or a folder of recorded files.
        interval_s: Pause between two readings. Each reads a few small files: about 0.2 ms on a PC.
    """

    def __init__(self, root: Path = Path("/"), interval_s: float = 0.2) -> None:
        self._files = Files(Path(root))
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._sources: tuple[ClockSource, ...] = ()
        self._said: str | None = None
        self._hottest: float | None = None

    def __enter__(self) -> ClockWatch:
        self._ended.clear()
        self._said, self._hottest = None, None
        self._busyness = Busyness(self._files)
        self._sources = open_clock_sources(self._files)
        self._alarms, self._thermometers = Alarms(self._files), Thermometers(self._files)
        self._counters = throttle_counters(self._files)
        self._pi_flags = pi_flags(self._files) or 0
        self._sample()
        self._thread = threading.Thread(target=self._watch, name="clock watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._sample()

    def verdict(self) -> ClockVerdict:
        """What happened so far; final once the block was left."""
        told = self._said or self._counted() or self._pi_remembered()
        falls = [text for text in (source.fall(FALL, SMOOTHED_SAMPLES) for source in self._sources) if text]
        # The slowest to show: of several sources the first (the CPU's) gives the figures, and any can fall.
        shown = [source for source in self._sources if source.moves]
        worst = next((source for source in shown if source.fall(FALL, SMOOTHED_SAMPLES)), None)
        first = worst or (shown[0] if shown else None)
        low, high = first.extent(SMOOTHED_SAMPLES) if first else (None, None)
        throttled: bool | None = bool(told or falls)
        reason = "; ".join(filter(None, (told, *falls)))
        if not reason:
            throttled, reason = self._calm(bool(shown), low, high)
        return ClockVerdict(
            throttled,
            reason,
            low,
            high,
            first.samples if first else 0,
            self._hottest,
            ", ".join(source.name for source in shown) or "none",
            self._busyness.steal_share(),
        )

    def _calm(self, shown: bool, low: float | None, high: float | None) -> tuple[bool | None, str]:
        if shown and low is not None and high is not None:
            return False, f"the clock held ({low:.0f} to {high:.0f} MHz)"
        if shown:
            return False, "nothing ran long enough to show a clock, and nothing said that it throttled"
        watched = bool(self._counters) or pi_flags(self._files) is not None
        if watched:
            return False, "no clock is shown, and the throttling counters stood still"
        return None, NO_CLOCK

    def _counted(self) -> str | None:
        after = throttle_counters(self._files)
        grown = [name for name, value in after.items() if value > self._counters.get(name, value)]
        if not grown:
            return None
        events = sum(after[name] - self._counters[name] for name in grown)
        kind = "over-current" if "/oc" in grown[0] else "thermal throttling"
        return f"{events} {kind} events ({grown[0]})"

    def _pi_remembered(self) -> str | None:
        """What the Raspberry Pi's firmware remembers now and did not before: it came between two readings."""
        fresh = (pi_flags(self._files) or 0) & ~self._pi_flags
        return pi_reason(fresh >> 16)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        busy = self._busyness.worked()
        for source in self._sources:
            source.sample(busy)
        self._said = self._said or self._alarms.ringing()
        hottest = max(self._thermometers.read().values(), default=None)
        if hottest is not None:
            self._hottest = hottest if self._hottest is None else max(hottest, self._hottest)
