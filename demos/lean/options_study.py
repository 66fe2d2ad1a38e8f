"""Options of ONNX Runtime against each other, in one run: the tables of docs/runtime-options.md.

    python -m demos.lean.options_study --network mobilenet_v3_small --photo photo.jpg

A session per option, all in one process; they take turns in blocks of shuffled order. What happens between
two runs matters as much as the option: nothing, a JPEG decoded by the same thread, or a pause as between
frames.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demos.lean.measure import WARM_S
from demos.lean.models import make_artifact, make_picture

PAUSE_S = 0.03
RUNS = {"nothing": 25, "a JPEG": 15, "a pause": 10}
OPTIONS: dict[str, dict[str, Any]] = {
    "never": {"spin": "never"},
    "running": {"spin": "running"},
    "always": {"spin": "always"},
    "one thread": {"threads": 1},
    "no arena": {"arena": False},
    "no memory pattern": {"pattern": False},
    "no prepacking": {"entry": ("session.disable_prepacking", "1")},
    "initialisers outside the arena": {"entry": ("session.use_device_allocator_for_initializers", "1")},
    "denormals are zero": {"entry": ("session.set_denormal_as_zero", "1")},
}
REFERENCE = "never"


def main(words: Sequence[str] | None = None) -> int:
    """Measure one network and print one table."""
    parser = argparse.ArgumentParser(prog="python -m demos.lean.options_study")
    parser.add_argument("--network", default="mobilenet_v3_small")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--between", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="edgewright-options-") as name:
        path = make_artifact(args.network, Path(name) / "model.onnx")
        jpeg = make_picture(args.photo, Path(name) / "photo.jpg")
        sessions = {option: _session(path, **OPTIONS[option]) for option in [REFERENCE, *args.options]}
        for between in args.between:
            _print(between, _compare(sessions, between, jpeg, args.rounds))
    return 0


def _session(
    path: Path,
    *,
    spin: str = REFERENCE,
    threads: int = 0,
    arena: bool = True,
    pattern: bool = True,
    entry: tuple[str, str] | None = None,
) -> Any:
    import onnxruntime

    from runtimes.onnx_runtime import SPINNING

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, pattern
    for name, value in [*SPINNING[spin].items(), *([entry] if entry else [])]:
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compare(sessions: dict[str, Any], between: str, jpeg: Path, rounds: int) -> dict[str, np.ndarray]:
    """Per option (rounds, 3): median run, wall time and processor time of a prediction, in milliseconds."""
    order, found = random.Random(0), {name: [] for name in sessions}
    wait = {"nothing": lambda: None, "a JPEG": lambda: _decode(jpeg), "a pause": lambda: time.sleep(PAUSE_S)}
    for _ in range(rounds):
        for name in order.sample(list(sessions), len(sessions)):
            found[name].append(_block(sessions[name], wait[between], RUNS[between]))
    return {name: np.asarray(rows) for name, rows in found.items()}


def _block(session: Any, wait: Callable[[], object], runs: int) -> tuple[float, float, float]:
    side = session.get_inputs()[0].shape[1]
    feed = {"image": np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)}
    begin = time.perf_counter()
    while time.perf_counter() - begin < WARM_S:
        wait()
        session.run(None, feed)
    laps, processor, begin = [], time.process_time(), time.perf_counter()
    for _ in range(runs):
        wait()
        start = time.perf_counter()
        session.run(None, feed)
        laps.append(time.perf_counter() - start)
    wall, processor = time.perf_counter() - begin, time.process_time() - processor
    return 1e3 * float(np.median(laps)), 1e3 * wall / runs, 1e3 * processor / runs


def _decode(jpeg: Path) -> bytes:
    with Image.open(jpeg) as image:
        return image.resize((455, 256), Image.Resampling.BILINEAR).tobytes()


def _print(between: str, found: dict[str, np.ndarray]) -> None:
    print(f"between two runs: {between}")
    for name, rows in found.items():
        ratios = np.median(rows / found[REFERENCE], axis=0)
        run, wall, processor = np.median(rows, axis=0)
        print(
            f"  {name:<32}run {run:7.2f} ms ({ratios[0]:.2f})  with what is between {wall:7.2f} ms "
            f"({ratios[1]:.2f})  processor {processor:7.2f} ms ({ratios[2]:.2f})"
        )


if __name__ == "__main__":
    raise SystemExit(main())
