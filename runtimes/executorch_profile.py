"""Layer times of an ExecuTorch method, from the events that its runtime and its delegates report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtimes.layer_times import OUTSIDE, Lap

_EXECUTE, _NATIVE, _DELEGATE = "Method::execute", "native_call_", "DELEGATE_CALL"
_CPU = "CPU"


@dataclass(frozen=True)
class Event:
    """One timed piece of a run.

    Attributes:
        name: ExecuTorch's name for it; for an operator inside a delegate, the delegate's.
        instruction: Number of the method's instruction.
        in_delegate: Whether it is a piece of a delegate's call.
        ms: Duration in milliseconds.
    """

    name: str
    instruction: int
    in_delegate: bool
    ms: float


def laps_of(events: Sequence[Event], delegate: str) -> Iterator[Lap]:
    """The layers of one run: kernels of the method's own, operators inside delegates, and what is left over.

    XNNPACK counts whole microseconds, rounded down for each operator: what its operators lose by that is in
    the row of what a delegate's call takes outside of them.

    Args:
        events: Of one run, in the order in which they began.
        delegate: Name of the delegate that the program uses.
    """
    whole = sum(event.ms for event in events if event.name == _EXECUTE)
    for event in events:
        if event.in_delegate:
            yield Lap(f"{event.instruction}: {event.name}", _kind(event.name), delegate, event.ms)
        elif event.name.startswith(_NATIVE):
            name = event.name.removeprefix(_NATIVE)
            whole -= event.ms
            yield Lap(f"{event.instruction}: {name}", name.partition(".")[0], _CPU, event.ms)
        elif event.name == _DELEGATE:
            inside = [e.ms for e in events if e.in_delegate and e.instruction == event.instruction]
            whole -= event.ms
            yield Lap(
                f"{event.instruction}: call of the delegate",
                OUTSIDE if inside else "delegate",
                delegate,
                event.ms - sum(inside),
            )
    yield Lap("method", OUTSIDE, _CPU, whole)


def _kind(name: str) -> str:
    """``Convolution`` of ``Convolution (NHWC, F32) IGEMM #1``."""
    return re.sub(r"\s*(\(.*|#\d+.*)$", "", name).strip() or name
