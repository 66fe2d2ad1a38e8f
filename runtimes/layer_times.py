"""Where the time of a run goes, layer by layer: the one table that every engine's own profiler fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtimes.errors import EdgewrightError, EngineError, first_line

OUTSIDE = "outside"
"""Kind of a row for the time between layers: the engine's own work."""


@dataclass(frozen=True)
class LayerTime:
    """One layer, operator or kernel of a run, as the engine names it.

    Attributes:
        name: The engine's name for it. Engines fuse layers, so it is not always one of the exported graph's.
        kind: What it does, such as ``Conv``.
        ms: Mean per run, in milliseconds.
        share: Of the time of all layers together, from 0 to 1.
        device: Where it ran, such as ``CPU`` or ``XNNPACK``.
    """

    name: str
    kind: str
    ms: float
    share: float
    device: str


@dataclass(frozen=True)
class Lap:
    """One measured piece: several of the same name, kind and device make one `LayerTime`."""

    name: str
    kind: str
    device: str
    ms: float


def layer_times(laps: Iterable[Lap], runs: int) -> tuple[LayerTime, ...]:
    """Mean times per run of all `laps` of `runs` runs, in the order in which each first came."""
    totals: dict[tuple[str, str, str], float] = {}
    for lap in laps:
        key = (lap.name, lap.kind, lap.device)
        totals[key] = totals.get(key, 0.0) + max(0.0, lap.ms)
    together = sum(totals.values())
    return tuple(
        LayerTime(name, kind, ms / runs, ms / together if together else 0.0, device)
        for (name, kind, device), ms in totals.items()
    )


@contextmanager
def engine_profile(engine: str) -> Iterator[None]:
    """What the engine's profiler raises, as an `EngineError`."""
    try:
        yield
    except EdgewrightError:
        raise
    except Exception as error:  # the engines' exceptions share no narrower base class
        raise EngineError(
            f"{engine} profile",
            got=first_line(error),
            expected="the times of its layers",
            fix="Profile with the versions that constraints.txt names.",
        ) from error
