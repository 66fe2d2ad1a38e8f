"""What a server costs: ours, LitServe and plain FastAPI routes with the same model, side by side in one run.

    python -m demos.serving_study ARTIFACT [--rounds N] [--seconds S] [--json FILE]

The servers take turns, each alone and in fresh processes, while `demos.load_clients` asks from this one: all
share the machine's cores. Every server gets the same JSON with an item in base64, because LitServe takes no
raw bytes; ours is also asked with raw bytes. Every answer is checked. Each server runs in several settings,
and the best of each counts. Beside throughput stands what a request cost in CPU, over all processes of a
server, which other work on the machine hardly changes. At last a model of about 20 ms runs behind our server,
and through `Predictor` alone in a process of its own, in turns as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from demos.load_clients import Load, LoadReport, Question
from demos.load_questions import answered_items, content_type, same
from demos.study_models import write_chain
from sdk import Predictor

HOST = "127.0.0.1"
WARM_UP_S = 1.0
START_S = 60.0
SLOW_MS = 20.0
SLOW_CLIENTS = 64
ONE_THREAD = ("--threads", "1")
TWO_PROCESSES = (*ONE_THREAD, "--replicas", "2")
"""What a server of ours is told on two cores."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Setting:
    """A server as it is started.

    Attributes:
        server: ``ours``, or as `demos.serving_contenders` calls it.
        options: More words of its command line.
        raw: Whether items are sent as they are; else as base64 in JSON.
    """

    server: str
    options: tuple[str, ...] = ()
    raw: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return " ".join([self.server, *self.options, *(["(raw bytes)"] if self.raw else [])])

    def command(self, artifact: Path, port: int) -> list[str]:
        """What starts it."""
        if self.server == "ours":
            words = ["-m", "sdk.command", "serve", f"model={artifact}", "--port", str(port)]
        else:
            words = ["-m", "demos.serving_contenders", self.server, str(artifact), str(port)]
        return [sys.executable, *words, *self.options]

    @property
    def ready(self) -> str:
        """What it answers once it is up."""
        return {"ours": "/health/ready", "litserve": "/health"}.get(self.server, "/docs")

    def question(self, item: bytes, result: dict[str, Any]) -> Question:
        """An item for this server, and the answer that is right."""
        if self.server != "ours":
            body = json.dumps({"item": b64encode(item).decode()}).encode()
            return Question("/predict", "application/json", body, _equals(result), echoes=False)
        path = "/v1/models/model:predict"
        if self.raw:
            return Question(path, content_type(item), item, _holds(result))
        body = json.dumps({"items": [{"base64": b64encode(item).decode()}]}).encode()
        return Question(path, "application/json", body, _holds(result))


SETTINGS = (
    Setting("ours", TWO_PROCESSES, raw=True),
    Setting("ours", TWO_PROCESSES),
    Setting("ours", (*ONE_THREAD, "--workers", "2")),
    Setting("ours", ONE_THREAD),
    Setting("fastapi"),
    Setting("fastapi", ONE_THREAD),
    Setting("fastapi-threads", ONE_THREAD),
    Setting("fastapi", (*ONE_THREAD, "--workers", "2")),
    Setting("litserve"),
    Setting("litserve", (*ONE_THREAD, "--workers", "2")),
)


@contextmanager
def running(setting: Setting, artifact: Path) -> Iterator[tuple[int, int]]:
    """A server in a process group of its own; gives its port and the group."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            setting.command(artifact, port),
            stdout=said,
            stderr=said,
            preexec_fn=os.setpgrp,  # noqa: PLW1509 - no threads here
        )
        try:
            until = time.monotonic() + START_S
            while not (_said_ready(setting, said) and _answers(f"http://{HOST}:{port}{setting.ready}")):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise RuntimeError(f"{setting.name} did not start: {said.read()[-2000:].decode()}")
                time.sleep(0.05)
            yield port, process.pid
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def measure(setting: Setting, artifact: Path, inputs: int, seconds: float, clients: int) -> dict[str, Any]:
    """One turn of a server: its report, and the CPU that its processes took for it."""
    items, results = answered_items(artifact, inputs)
    questions = [setting.question(item, result) for item, result in zip(items, results, strict=True)]
    with running(setting, artifact) as (port, group):
        load = Load((HOST, port), questions, clients=clients)
        load.run(seconds=WARM_UP_S)
        before = cpu_s(group)
        report = load.run(seconds=seconds)
        return {**report.to_dict(), "server_cpu_us_per_request": _per_request(cpu_s(group) - before, report)}


def cpu_s(group: int) -> float:
    """Seconds of CPU that the processes of a group have taken."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def compare_servers(artifact: Path, rounds: int, seconds: float, clients: int) -> dict[str, Any]:
    """All settings in turns, and each server's best against ours by the median of rounds."""
    turns: dict[str, list[dict[str, Any]]] = {setting.name: [] for setting in SETTINGS}
    for number in range(rounds):
        for setting in SETTINGS if number % 2 == 0 else reversed(SETTINGS):
            turns[setting.name].append(measure(setting, artifact, 256, seconds, clients))
            _say(setting.name, turns[setting.name][-1])
    per_s = {name: statistics.median(turn["per_s"] for turn in found) for name, found in turns.items()}
    ours = [setting for setting in SETTINGS if setting.server == "ours"]
    routes = [setting for setting in SETTINGS if setting.server.startswith("fastapi")]
    best = {
        "fastapi, one process": max(per_s[each.name] for each in routes if "--workers" not in each.options),
        "fastapi, two processes": max(per_s[each.name] for each in routes if "--workers" in each.options),
        "litserve": max(per_s[each.name] for each in SETTINGS if each.server == "litserve"),
    }
    by_best = {
        setting.name: {server: per_s[setting.name] / rate for server, rate in best.items()}
        for setting in ours
    }
    return {"turns": turns, "per_s": per_s, "by_best": by_best}


def compare_with_offline(rounds: int, seconds: float) -> dict[str, Any]:
    """A model of about `SLOW_MS`: behind our server, and through `Predictor` alone, in turns."""
    setting = Setting("ours", TWO_PROCESSES, raw=True)
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / "slow.onnx"
        one_ms = _calibrated(artifact)
        served, offline = [], []
        for _ in range(rounds):
            offline.append(_offline(artifact, seconds))
            served.append(measure(setting, artifact, 64, seconds, SLOW_CLIENTS))
            _say(f"{one_ms:.1f} ms model; offline {offline[-1]:.1f}/s", served[-1])
        ratios = [turn["per_s"] / rate for turn, rate in zip(served, offline, strict=True)]
    return {"model_ms": one_ms, "offline_per_s": offline, "served": served,
            "served_by_offline": statistics.median(ratios)}  # fmt: skip


def _calibrated(artifact: Path) -> float:
    """Write a model of about `SLOW_MS` on one thread; returns what it takes."""
    layers = 20
    for _ in range(4):
        write_chain(artifact, layers)
        with Predictor(artifact, threads=1) as predictor:
            item = predictor.manifest.samples[0].item()
            took = []
            for _ in range(9):
                begun = time.perf_counter()
                predictor.predict(item)
                took.append(1000 * (time.perf_counter() - begun))
        one_ms = statistics.median(took)
        if 0.85 < one_ms / SLOW_MS < 1.15:
            break
        layers = max(1, round(layers * SLOW_MS / one_ms))
    return one_ms


def _offline(artifact: Path, seconds: float) -> float:
    """Items per second through `Predictor` in a process of its own, with its defaults and full batches."""
    command = [
        sys.executable,
        "-m",
        "demos.serving_study",
        str(artifact),
        "--offline",
        "--seconds",
        str(seconds),
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def offline_rate(artifact: Path, seconds: float) -> float:
    """Items per second in this process, on all cores: of three sizes of batches the best."""
    with Predictor(artifact) as predictor:
        item = predictor.manifest.samples[0].item()
        return max(_rate(predictor, [item] * batch, seconds / 3) for batch in (1, 8, 32))


def _rate(predictor: Predictor, batch: list[Any], seconds: float) -> float:
    predictor.predict(batch)
    count, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        predictor.predict(batch)
        count += len(batch)
    return count / passed


def _said_ready(setting: Setting, said: IO[bytes]) -> bool:
    """Ours answers as soon as one of its processes does, and says so when all of them do."""
    return setting.server != "ours" or b"serving" in os.pread(said.fileno(), 1 << 16, 0)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):
            return True
    except HTTPError:
        return False
    except OSError:
        return False


def _equals(result: dict[str, Any]) -> Callable[[Any], bool]:
    return lambda answer: same(answer, result)


def _holds(result: dict[str, Any]) -> Callable[[Any], bool]:
    return lambda answer: same(answer["results"], [result])


def _per_request(seconds: float, report: LoadReport) -> float:
    return 1e6 * seconds / max(1, report.right)


def _say(name: str, turn: dict[str, Any]) -> None:
    print(f"{name:46} {turn['per_s']:7,.0f}/s  p99 {turn['latency_ms']['p99']:6.1f} ms  server "
          f"{turn['server_cpu_us_per_request']:5.0f} µs/request  client "
          f"{turn['client_cpu_share_of_one_core']:.0%} of a core  wrong {turn['wrong']} lost {turn['lost']} "
          f"failed {turn['failed']} refused {turn['refused']}", flush=True)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run the study; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demos.serving_study", description="Compare servers.")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--long-seconds", type=float, default=60.0, help="of one long run of our server")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--offline", action="store_true", help="only print items per second of full batches")
    args = parser.parse_args(words)
    if args.offline:
        print(offline_rate(args.artifact, args.seconds))
        return 0
    found = {
        "long": measure(SETTINGS[0], args.artifact, 512, args.long_seconds, args.clients),
        "servers": compare_servers(args.artifact, args.rounds, args.seconds, args.clients),
        "offline": compare_with_offline(args.rounds, 2 * args.seconds),
    }
    _say(f"{args.long_seconds:.0f} s of ours", found["long"])
    for name, by_best in found["servers"]["by_best"].items():
        print(f"{name:46} by the best of", {server: round(ratio, 2) for server, ratio in by_best.items()})
    print("served by offline:", found["offline"]["served_by_offline"])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
