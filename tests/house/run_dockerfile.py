"""Executes a Dockerfile's stages in order, without Docker: each in a root and namespaces of its own.

Run as the first process of fresh mount, network and process namespaces (see `test_containers.py`): what it
mounts and starts is gone when it ends. A stage's root holds this machine's system folders and Python,
read-only, in place of the base image, an empty rest, and no network but its own loopback. `RUN` goes through
``/bin/sh -c`` there, as written; `pip` finds a folder of wheels in place of the package index. The last
stage is then started as a container is: its user, a read-only root, a folder for models and an empty /tmp.

    python run_dockerfile.py FILE CONTEXT WHEELS ARTIFACT PICTURE WORK

prints a JSON object: each step, and how the server fared.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from dockerfile import Instruction, Stage, expand, parse

SYSTEM = ("usr", "bin", "sbin", "lib", "lib64")
WHEELS = "/wheels"
START_SECONDS, END_SECONDS = 60, 60
PYTHON = Path(sys.base_prefix)
BASE = {"PATH": f"{PYTHON}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": "/root"}
INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
ASK = """
import http.client, sys, time
def ask(method, path, body=None, type_=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
    connection.request(method, path, body, {"Content-Type": type_} if type_ else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
print(ask("POST", "/v1/models/model:predict", sys.stdin.buffer.read(), "image/png"))
until, ready = time.monotonic() + 20, f"edgewright_ready_replicas {sys.argv[1]}.0"
while ready not in ask("GET", "/metrics")[1].splitlines() and time.monotonic() < until:
    time.sleep(0.1)
status, text = ask("GET", "/metrics")
print(status, [line for line in text.splitlines() if line.startswith("edgewright_ready_replicas")])
"""


class Container:
    """The state of one stage: its root, variables, folder and user."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root, self.folder, self.user = root, "/", (0, 0)
        self.variables, self.arguments = dict(BASE), dict[str, str]()
        root.mkdir()
        _furnish(root, wheels)

    def at(self, path: str) -> Path:
        """Where an absolute or relative path of the container is outside."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")  # noqa: PTH118

    def popen(self, words: list[str], extra: dict[str, str] | None = None, **options: Any) -> Any:
        """Start a program inside, as the container's user."""
        user, group = self.user
        inside = ["chroot", f"--userspec={user}:{group}", str(self.root), "env", "-C", self.folder, *words]
        return subprocess.Popen(inside, env={**self.variables, **(extra or {})}, text=True, **options)

    def run(self, words: list[str], extra: dict[str, str] | None = None, given: Any = None) -> dict[str, Any]:
        """Run a program inside to its end."""
        begun = time.monotonic()
        process = self.popen(words, extra, stdin=given or subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        said = process.communicate()[0]
        return {
            "code": process.returncode,
            "said": said[-3000:],
            "seconds": round(time.monotonic() - begun, 1),
        }


def execute(
    stage: Stage, container: Container, context: Path, built: dict[str, Container]
) -> list[dict[str, Any]]:
    """Every instruction of a stage, in order; stops at the first that fails."""
    steps = []
    for instruction in stage.instructions:
        outcome = _step(instruction, container, context, built)
        steps.append(
            {"line": instruction.line, "word": instruction.word, "text": instruction.text, **outcome}
        )
        if outcome.get("code"):
            break
    return steps


def _step(
    instruction: Instruction, container: Container, context: Path, built: dict[str, Container]
) -> dict[str, Any]:
    if instruction.word == "RUN":
        return container.run(["/bin/sh", "-c", instruction.text], {**INDEX, **container.arguments})
    if instruction.word == "COPY":
        _copy(instruction, container, context, built)
    elif instruction.word == "ARG":
        container.arguments.update(instruction.pairs)
    elif instruction.word == "ENV":
        values = {name: expand(value, container.variables) for name, value in instruction.pairs.items()}
        container.variables.update(values)
    elif instruction.word == "WORKDIR":
        container.at(instruction.text).mkdir(parents=True, exist_ok=True)
        container.folder = instruction.text
    elif instruction.word == "USER":
        user, _, group = instruction.text.partition(":")
        container.user = (int(user), int(group))
    return {}


def _copy(instruction: Instruction, container: Container, context: Path, built: dict[str, Container]) -> None:
    words = instruction.words
    source = context
    if words[0].startswith("--from="):
        source = built[words.pop(0)[len("--from=") :]].root
    *names, target = words
    place = container.at(target)
    for name in names:
        origin = source / name.lstrip("/")
        into = place / origin.name if target.endswith("/") else place
        into.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if source is context else None
            shutil.copytree(origin, into, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(origin, into)


def _furnish(root: Path, wheels: Path) -> None:
    """This machine's system folders and Python in place of the base image."""
    for name in SYSTEM:
        origin = Path("/") / name
        if origin.is_symlink():
            (root / name).symlink_to(origin.readlink())
        elif origin.is_dir():
            _mount(origin, root / name, "ro")
    if PYTHON.parts[1] != SYSTEM[0]:
        _mount(PYTHON, root / str(PYTHON).lstrip("/"), "ro")
    _mount(wheels, root / WHEELS.lstrip("/"), "ro")
    for name in ("etc", "root", "tmp", "run", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name in ("passwd", "group", "shadow", "gshadow", "login.defs", "ld.so.cache", "nsswitch.conf"):
        if (Path("/etc") / name).is_file():
            shutil.copy(Path("/etc") / name, root / "etc" / name)
    _mount(Path("/dev"), root / "dev", "rec")
    (root / "proc").mkdir()
    _call("mount", "-t", "proc", "proc", str(root / "proc"))


def _mount(origin: Path, place: Path, how: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    _call("mount", "--rbind" if how == "rec" else "--bind", str(origin), str(place))
    if how == "ro":
        _call("mount", "-o", "remount,bind,ro", str(place))


def seal(container: Container, artifact: Path) -> None:
    """Mount the model, make the root read-only, and /tmp an empty place in memory."""
    shutil.copy(artifact, container.at("/models/model.onnx"))
    container.at("/models/model.onnx").chmod(0o644)
    _mount(container.root, container.root, "rec")
    _call("mount", "-o", "remount,bind,ro", str(container.root))
    _call("mount", "-t", "tmpfs", "tmpfs", str(container.at("/tmp")))


def serve(stage: Stage, container: Container, replicas: int, picture: Path) -> dict[str, Any]:
    """Start the last stage as a container is started, ask its health and a prediction, and end it."""
    health = json.loads(stage.last("HEALTHCHECK").text.partition("CMD ")[2])
    words = [*stage.last("ENTRYPOINT").words, *stage.last("CMD").words]
    if replicas > 1:
        words += ["--replicas", str(replicas)]
    log = container.root.parent / f"server{replicas}.log"
    with log.open("w") as written:
        server = container.popen(words, stdout=written, stderr=written)
    found: dict[str, Any] = {"command": words, "user": container.user}
    try:
        begun = time.monotonic()
        while True:
            found["health"] = container.run(health)
            found["ready_s"] = round(time.monotonic() - begun, 2)
            if not found["health"]["code"] and "serving" in log.read_text("utf-8"):
                break
            if server.poll() is not None or found["ready_s"] > START_SECONDS:
                break
            time.sleep(0.1)
        with picture.open("rb") as given:
            found["answers"] = container.run(["python", "-c", ASK, str(replicas)], given=given)
        found["writes"] = container.run(["/bin/sh", "-c", "echo x > /models/x || echo x > /opt/x"])
        server.send_signal(getattr(signal, stage.last("STOPSIGNAL").text))
        found["ended"] = server.wait(END_SECONDS)
        found["health_behind"] = container.run(health)["code"]
        found["left_in_tmp"] = [path.name for path in container.at("/tmp").iterdir()]
    finally:
        server.kill()
        found["log"] = log.read_text("utf-8")[-3000:]
    return found


def _call(*words: str) -> None:
    subprocess.run(words, check=True)


def main() -> None:
    """All of it."""
    file, context, wheels, artifact, picture, work = (Path(word) for word in sys.argv[1:])
    _call("ip", "link", "set", "lo", "up")
    built: dict[str, Container] = {}
    report: dict[str, Any] = {"steps": []}
    stages = parse(file)
    for number, stage in enumerate(stages):
        container = Container(work / f"stage{number}", wheels)
        built[stage.name] = container
        report["steps"] += execute(stage, container, context, built)
        if report["steps"][-1].get("code"):
            break
    else:
        seal(container, artifact)
        report["served"] = serve(stages[-1], container, 1, picture)
        report["replicated"] = serve(stages[-1], container, 2, picture)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
