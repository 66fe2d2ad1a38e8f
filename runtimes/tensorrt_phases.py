"""Where a run's time goes on the GPU, by events on its stream: copies in, the engine, copies out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from runtimes.cuda_memory import Cuda
from runtimes.errors import EngineError

PHASES = ("host_to_device", "compute", "device_to_host")


class PhaseEvents:
    """Four events: one before each phase, one after the last.

    Args:
        cuda: The device in use.

    Raises:
        EngineError: CUDA has no events left to give.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._events: list[Any] = []
        try:
            for _ in range(len(PHASES) + 1):
                self._events.append(cuda.call("cudaEventCreate"))
        except EngineError:
            self.free()
            raise

    def mark(self, which: int, stream: Any) -> None:
        """Queue event `which` (from 0) behind what the stream has to do already."""
        self._cuda.call("cudaEventRecord", self._events[which], stream)

    def elapsed_ms(self) -> dict[str, float]:
        """Milliseconds by phase. The stream must have been synchronised.

        Resolution is about half a microsecond, as the CUDA runtime's manual says of ``cudaEventElapsedTime``.
        """
        spans = [self._cuda.call("cudaEventElapsedTime", *ends) for ends in pairwise(self._events)]
        return dict(zip(PHASES, map(float, spans), strict=True))

    def free(self) -> None:
        """Give the events back."""
        events, self._events = self._events, []
        for event in events:
            self._cuda.call("cudaEventDestroy", event)
