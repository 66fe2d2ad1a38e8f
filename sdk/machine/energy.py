"""Energy spent while something runs: a PC's RAPL counters, a Jetson's power rails."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sdk.machine.files import Files
from sdk.machine.power_rails import find_rails

_RAPL = "sys/class/powercap/*-rapl:[0-9]*"
_RAPL_PAUSE_S = 20.0
_RAILS_PAUSE_S = 0.05


class EnergyReader(ABC):
    """Joules since the `with` block was entered. Open it with `open_energy_reader`.

    Attributes:
        source: What is read, in words.
    """

    source: str
    _pause_s: float

    def __init__(self) -> None:
        self._joules = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> EnergyReader:
        self._joules = 0.0
        self._ended.clear()
        self._start()
        self._thread = threading.Thread(target=self._watch, name="energy reader", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._update()

    def joules(self) -> float:
        """Energy spent since the block was entered; after it was left, until then."""
        if self._thread is not None:
            self._update()
        return self._joules

    def _watch(self) -> None:
        while not self._ended.wait(self._pause_s):
            self._update()

    def _update(self) -> None:
        with self._lock:
            self._joules += self._spent()

    @abstractmethod
    def _start(self) -> None:
        """Read for the first time."""

    @abstractmethod
    def _spent(self) -> float:
        """Joules since the last call."""


class RaplReader(EnergyReader):
    """RAPL's energy counters of all packages and their memory: Intel, and AMD under the same names.

    The counters have 32 bits of about 61 µJ and start again at `max_energy_range_uj`, after minutes under
    load: a thread reads them often enough never to miss one.
    """

    _pause_s = _RAPL_PAUSE_S

    def __init__(self, files: Files, zones: list[str]) -> None:
        super().__init__()
        self._files = files
        self._ranges = {zone: files.integer(f"{zone}/max_energy_range_uj") or 0 for zone in zones}
        self._before: dict[str, int] = {}
        names = [files.text(f"{zone}/name") or zone.split("/")[-1] for zone in zones]
        self.source = f"RAPL {', '.join(names)}"

    def _start(self) -> None:
        self._before = self._read()

    def _spent(self) -> float:
        now, spent = self._read(), 0
        for zone, value in now.items():
            before = self._before.get(zone, value)
            spent += value - before if value >= before else value + self._ranges[zone] - before
        self._before = {**self._before, **now}
        return spent / 1e6

    def _read(self) -> dict[str, int]:
        values = {zone: self._files.integer(f"{zone}/energy_uj") for zone in self._ranges}
        return {zone: value for zone, value in values.items() if value is not None}


class RailReader(EnergyReader):
    """Power of supply rails, read often and added up over time by the trapezoid rule."""

    _pause_s = _RAILS_PAUSE_S

    def __init__(
        self, source: str, watts: Callable[[], float | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.source = source
        self._watts, self._clock = watts, clock
        self._last: tuple[float, float] | None = None

    def _start(self) -> None:
        watts = self._watts()
        self._last = None if watts is None else (self._clock(), watts)

    def _spent(self) -> float:
        watts, now = self._watts(), self._clock()
        if watts is None:
            return 0.0  # a failed reading: the next good one spans the gap
        last, self._last = self._last, (now, watts)
        return 0.0 if last is None else (now - last[0]) * (watts + last[1]) / 2


def open_energy_reader(root: Path = Path("/")) -> EnergyReader | None:
    """A reader for the sensors below `root`; None where there are none that this user may read.

    Jetson: the rail that feeds the whole module where the board measures it, else the sum of all it measures.
    PC: RAPL packages and memory. Since Linux 5.10 only root may read their counters.
    """
    files = Files(Path(root))
    rails = find_rails(files)
    if rails:
        return RailReader(rails.source, rails.watts)
    zones = [
        zone
        for zone in files.names(_RAPL)
        if (files.text(f"{zone}/name") or "").startswith(("package", "dram"))
        and files.integer(f"{zone}/energy_uj") is not None
    ]
    return RaplReader(files, zones) if zones else None
