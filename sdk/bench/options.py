"""What to measure, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from runtimes import UsageError

SINGLE_STREAM, OFFLINE, SERVER = "single-stream", "offline", "server"
SCENARIOS = (SINGLE_STREAM, OFFLINE, SERVER)


@dataclass(frozen=True)
class BenchOptions:
    """How a benchmark runs.

    Attributes:
        scenario: ``single-stream``: one prediction after the other. ``offline``: batches, as fast as they go.
            ``server``: single predictions that arrive at random at a rate, waiting included.
        seconds: Timed seconds per artifact, at least.
        max_seconds: Timed seconds per artifact, at most: predictions go on beyond `seconds` only until there
            are enough for a p99.
        rate: Arrivals per second, for ``server`` and only there.
        batch: Items per call, for ``offline`` and only there; None for `Predictor`'s own choice.
        workers: Threads that predict, for ``server``.
        launches: Fresh processes per artifact for cold start and memory; 0 for none.
        layers: Whether to ask the engines for the time of each layer.
        seed: Of the order of turns and of the arrivals.

    Raises:
        UsageError: A value makes no sense.
    """

    scenario: str = SINGLE_STREAM
    seconds: float = 6.0
    max_seconds: float = 20.0
    rate: float | None = None
    batch: int | None = None
    workers: int = 1
    launches: int = 5
    layers: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise _wrong("scenario", self.scenario, f"one of {', '.join(SCENARIOS)}", "Choose one of them.")
        if not self.seconds > 0:
            raise _wrong("seconds", self.seconds, "more than 0", "Leave it out for the default.")
        if not self.max_seconds >= self.seconds:
            raise _wrong("max_seconds", self.max_seconds, f"at least {self.seconds:g}", "Raise it.")
        if self.scenario == SERVER and not (self.rate is not None and self.rate > 0):
            fix = "Pass arrivals per second, such as half the throughput that single-stream shows."
            raise _wrong("rate", self.rate, "more than 0 for the server scenario", fix)
        if self.scenario != SERVER and self.rate is not None:
            raise _wrong("rate", self.rate, f"nothing with {self.scenario}", "Use --scenario server.")
        if self.scenario != OFFLINE and self.batch is not None:
            raise _wrong("batch", self.batch, f"nothing with {self.scenario}", "Use --scenario offline.")
        if self.workers < 1 or (self.scenario != SERVER and self.workers != 1):
            raise _wrong("workers", self.workers, "from 1, and with server only", "Leave it out.")
        if self.launches < 0:
            raise _wrong("launches", self.launches, "0 or more", "Leave it out for the default.")


def _wrong(name: str, got: object, expected: str, fix: str) -> UsageError:
    return UsageError(f"Option {name!r}", got=str(got), expected=expected, fix=fix)
