"""Where a clock can be read: cpufreq, /proc/cpuinfo, a Jetson's GPU; and whether the machine worked."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable

from sdk.machine.cpu import CPUFREQ
from sdk.machine.files import Files

_GPU_NAME = re.compile(r"(?:\.(?:gpu|gv11b|gp10b|ga10b|gm20b|gb10b)|gpu-gpc-\d+)$")
_GPU_LOADS = ("sys/devices/platform/gpu.0/load", "sys/devices/gpu.0/load")
_WORKING_GPU_PERMILLE = 100
_WORKING_CORES = 0.3
_MOST_CORES = 64


class Busyness:
    """How much the processor works, from /proc/stat: an idle core's low clock says nothing."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._before = self._first = self._read()

    def worked(self) -> bool:
        """Whether at least a third of one core worked since the last call; True where nothing tells."""
        now = self._read()
        if now is None or self._before is None:
            return True
        total, idle, _ = (after - before for after, before in zip(now, self._before, strict=True))
        if total <= 0:
            return True  # too soon after the last call to tell
        self._before = now
        return (total - idle) / total * self._cores >= _WORKING_CORES

    def steal_share(self) -> float | None:
        """Share of all time since the start that a hypervisor kept for others; None where nothing tells."""
        now = self._read()
        if now is None or self._first is None or now[0] <= self._first[0]:
            return None
        return (now[2] - self._first[2]) / (now[0] - self._first[0])

    def _read(self) -> tuple[int, int, int] | None:
        """All, idle and stolen ticks of all cores together."""
        lines = (self._files.text("proc/stat") or "").splitlines()
        self._cores = max(1, sum(re.match(r"cpu\d", line) is not None for line in lines))
        words = lines[0].split()[1:9] if lines and lines[0].startswith("cpu ") else []
        if len(words) < 5 or not all(word.isdigit() for word in words):
            return None
        ticks = [int(word) for word in words]
        return sum(ticks), ticks[3] + ticks[4], ticks[7] if len(ticks) > 7 else 0


class ClockSource:
    """One clock over time.

    Args:
        name: Of the source, in words.
        read: Its clock in MHz; None: no answer now.
        trusted: Whether it is a clock even when it stands still. /proc/cpuinfo of a virtual machine shows one
            number for ever: that is none.
        working: Whether what it drives works right now; None: the processor's own load decides.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], float | None],
        *,
        trusted: bool = True,
        working: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self._read, self._trusted, self._working = read, trusted, working
        self._mhz: list[float] = []
        self._seen: set[float] = set()

    @property
    def samples(self) -> int:
        """Readings taken at work."""
        return len(self._mhz)

    @property
    def moves(self) -> bool:
        """Whether this is a clock at all."""
        return bool(self._seen) and (self._trusted or len(self._seen) > 1)

    def sample(self, busy: bool) -> None:
        """Take one reading, kept if what it drives works."""
        value = self._read()
        if value is None or value <= 0:
            return
        self._seen.add(value)
        if self._working() if self._working else busy:
            self._mhz.append(value)

    def extent(self, smoothed: int) -> tuple[float | None, float | None]:
        """Lowest and highest smoothed clock in MHz."""
        clocks = self._smooth(smoothed)
        return (min(clocks), max(clocks)) if clocks else (None, None)

    def fall(self, below: float, smoothed: int) -> str | None:
        """In words: the smoothed clock went below that fraction of what it had been before. None: it did not.

        A clock that rises from idle at the start has not fallen.
        """
        if not self.moves:
            return None
        peak, worst = 0.0, (1.0, 0.0, 0.0)
        for clock in self._smooth(smoothed):
            peak = max(peak, clock)
            worst = min(worst, (clock / peak, peak, clock))
        if worst[0] >= below:
            return None
        return f"{self.name} fell from {worst[1]:.0f} to {worst[2]:.0f} MHz"

    def _smooth(self, width: int) -> list[float]:
        if len(self._mhz) < width:
            return [statistics.median(self._mhz)] if self._mhz else []
        return [statistics.median(self._mhz[i : i + width]) for i in range(len(self._mhz) - width + 1)]


def open_clock_sources(files: Files) -> tuple[ClockSource, ...]:
    """The clocks that this machine shows, the CPU's first."""
    sources = []
    clocks = [f"{name}/scaling_cur_freq" for name in files.names(CPUFREQ)][:_MOST_CORES]
    if clocks and files.integer(clocks[0]):
        # The fastest core of a moment: the one that works. Those that wait are free to be slow.
        sources.append(ClockSource("CPU clock (cpufreq)", lambda: _fastest(files, clocks)))
    elif re.search(r"^cpu MHz", files.text("proc/cpuinfo") or "", re.MULTILINE):
        sources.append(ClockSource("CPU clock (/proc/cpuinfo)", lambda: _cpuinfo(files), trusted=False))
    for folder in files.names("sys/class/devfreq/*"):
        if _GPU_NAME.search(folder):
            sources.append(_gpu(files, folder))
    return tuple(sources)


def _fastest(files: Files, clocks: list[str]) -> float | None:
    found = [value for value in map(files.integer, clocks) if value]
    return max(found) / 1000 if found else None


def _cpuinfo(files: Files) -> float | None:
    text = files.text("proc/cpuinfo") or ""
    return max(map(float, re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)), default=None)


def _gpu(files: Files, folder: str) -> ClockSource:
    loads = [name for name in (f"{folder}/device/load", *_GPU_LOADS) if files.exists(name)]

    def clock() -> float | None:
        hertz = files.integer(f"{folder}/cur_freq")
        return hertz / 1e6 if hertz else None

    def working() -> bool:
        return not loads or (files.integer(loads[0]) or 0) >= _WORKING_GPU_PERMILLE

    return ClockSource(f"GPU clock ({folder.rpartition('/')[2]})", clock, working=working)
