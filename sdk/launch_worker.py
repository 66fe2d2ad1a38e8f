"""The inside of a `sdk.launch.Launch`: imports as little as a user's own program would, and says when.

Requests and answers are one JSON object a line, on standard input and what was standard output: engines that
print are sent to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

YARDSTICK_ROUNDS = 5
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Open the artifact that the first line names, answer once, then serve requests until input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    begin = time.perf_counter()
    from sdk.predictor import Predictor

    imported = time.perf_counter()
    from runtimes import EdgewrightError

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        predictor = Predictor(request["path"], **request["options"])
        items = _items(request["items"]) or [sample.item() for sample in predictor.manifest.samples]
        loaded = time.perf_counter()
        predictor.predict(items[0])
        first = time.perf_counter()
        answer(
            {
                "first_result_at": first,
                "import_s": imported - begin,
                "load_s": loaded - imported,
                "first_s": first - loaded,
                "rss_bytes": peak_rss_bytes(),
            }
        )
        _serve(predictor, items, answer)
    except EdgewrightError as error:
        said = {"subject": error.subject, "got": error.got, "expected": error.expected, "fix": error.fix}
        answer({"error": {"kind": type(error).__name__, **said}})


def _items(files: list[str]) -> list[Any]:
    if not any(file.endswith(".npy") for file in files):
        return files
    from pathlib import Path

    from sdk.input_files import item_of

    return [item_of(Path(file)) for file in files]


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far.

    From ``VmHWM``: getrusage's ``ru_maxrss`` would start with that of the process which started this one.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123 - pathlib costs
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def _serve(predictor: Any, items: list[Any], answer: Any) -> None:
    _die_with_parent()
    turn = 0
    for line in sys.stdin:
        request = json.loads(line)
        if "seconds" in request:
            durations, turn = _block(predictor, items, turn, request)
            answer({"durations_s": durations})
        elif "yardstick" in request:
            answer({"yardstick_s": yardstick_s()})
        else:
            answer({"rss_bytes": peak_rss_bytes()})


def _die_with_parent() -> None:
    """A paused process would not see its input end, so the kernel is asked to end it (Linux prctl(2))."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _block(predictor: Any, items: list[Any], turn: int, request: dict[str, Any]) -> tuple[list[float], int]:
    clock, count, predict = time.perf_counter, len(items), predictor.predict
    warm_until = clock() + request["warm_s"]
    while clock() < warm_until:
        predict(items[turn % count])
        turn += 1
    durations: list[float] = []
    until = clock() + request["seconds"]
    while len(durations) < request["fewest"] or clock() < until:
        item = items[turn % count]
        begin = clock()
        predict(item)
        durations.append(clock() - begin)
        turn += 1
    return durations, turn


def yardstick_s() -> float:
    """Seconds of a fixed piece of single-threaded work, the fastest of a few."""
    import numpy as np

    values = np.arange(200_000, dtype=np.float64)
    fastest = float("inf")
    for _ in range(YARDSTICK_ROUNDS):
        begin = time.perf_counter()
        np.sort(np.sin(values))
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest
