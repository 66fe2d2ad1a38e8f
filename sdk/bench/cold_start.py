"""What the first result costs: fresh processes, from their start on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdk.artifact import Artifact
from sdk.bench.figures import ColdStart, Spread
from sdk.launch import Launch, Startup

FEWEST = 2
LONGEST_S = 15.0
"""After so long no further process is started, once there were `FEWEST`: some engines import for seconds."""


def measure_cold_start(
    artifact: Artifact,
    item: Any,
    options: Mapping[str, Any],
    launches: int,
    progress: Callable[[int], None] = lambda _: None,
) -> ColdStart:
    """Start processes one after the other.

    Args:
        artifact: Which file.
        item: What each predicts on; handed over as an encoded file.
        options: Runtime options.
        launches: How many, at least 1.
        progress: Called before each process with its number.

    Raises:
        EdgewrightError: What `Predictor` raised there.
    """
    found: list[Startup] = []
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "item"
        path.write_bytes(artifact.spec.input.encode(artifact.spec.input.load(item).source))
        for number in range(launches):
            if len(found) >= FEWEST and time.perf_counter() - begin > LONGEST_S:
                break
            progress(number)
            with Launch(artifact.path, [path], options) as launch:
                found.append(launch.startup())
    return ColdStart(
        launches=len(found),
        cold_start_s=Spread.of([startup.cold_start_s for startup in found]),
        import_s=Spread.of([startup.import_s for startup in found]),
        load_s=Spread.of([startup.load_s for startup in found]),
        first_s=Spread.of([startup.first_s for startup in found]),
        peak_rss_bytes=Spread.of([float(startup.rss_bytes) for startup in found]),
    )
