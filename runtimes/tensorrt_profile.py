"""Layer times from TensorRT's own profiler, on an execution context of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtimes.errors import EngineError
from runtimes.layer_times import Lap


def profile_context(
    trt: Any,
    context: Any,
    run: Callable[[Any], None],
    runs: int,
    *,
    kinds: Mapping[str, str],
    device: str,
) -> list[Lap]:
    """Run `context` once to warm up and then `runs` times, and collect what its profiler is told.

    A profiler cannot be taken off a context again in every version, and none works while a CUDA graph is
    recorded: hence a context that is used for nothing else.

    Args:
        trt: The package's module.
        context: A fresh execution context.
        run: Runs a context, and waits until the GPU has done.
        runs: How often.
        kinds: Layer types by layer name, as far as the engine tells.
        device: Name of the GPU.

    Raises:
        EngineError: Nothing was reported: the engine was built without names of layers.
    """
    laps: list[Lap] = []

    class Profiler(trt.IProfiler):  # type: ignore[misc] # TensorRT asks for a subclass
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            laps.append(Lap(layer_name, kinds.get(layer_name, "layer"), device, ms))

    # The context keeps no reference of its own.
    profiler = context.profiler = Profiler()
    run(context)
    laps.clear()
    for _ in range(runs):
        run(context)
    del profiler
    if not laps:
        raise EngineError(
            "TensorRT profile",
            got="no layer reported",
            expected="a time for each layer",
            fix="Build the engine again with `edgewright build`, which keeps the names of its layers.",
        )
    return laps
