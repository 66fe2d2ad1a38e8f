"""Layer times from ONNX Runtime's own profiler, which writes a trace file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from runtimes.base import Array
from runtimes.layer_times import Lap

_KERNEL = "_kernel_time"
_RUN = "model_run"
_PROVIDER = "ExecutionProvider"


def profile_session(ort: Any, like: Any, model: bytes, inputs: dict[str, Array], runs: int) -> list[Lap]:
    """Run a second session of the same model with the profiler on: once to warm up, then `runs` times.

    Args:
        ort: The package.
        like: The session that is asked about; the second one has its options and providers.
        model: The ONNX model.
        inputs: What to feed.
        runs: How often.

    Returns:
        The kernels of all timed runs, in the order in which they ran.
    """
    options = like.get_session_options()
    providers = [(name, like.get_provider_options()[name]) for name in like.get_providers()]
    with tempfile.TemporaryDirectory(prefix="edgewright-profile-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        try:
            session = ort.InferenceSession(model, options, providers=providers)
        finally:
            options.enable_profiling = False  # the object is that of the first session
        for _ in range(1 + runs):
            session.run(None, inputs)
        trace = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return read_trace(trace)


def read_trace(trace: list[dict[str, Any]]) -> list[Lap]:
    """Kernels of a trace (times in microseconds) after its first run, in the order in which they ran."""
    warm = sorted(event["ts"] + event["dur"] for event in trace if event.get("name") == _RUN)[0]
    kernels = [
        event
        for event in trace
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL) and event["ts"] >= warm
    ]
    return [
        Lap(
            event["name"].removesuffix(_KERNEL),
            event["args"]["op_name"],
            event["args"]["provider"].removesuffix(_PROVIDER),
            event["dur"] / 1e3,
        )
        for event in sorted(kernels, key=lambda event: event["ts"])
    ]
