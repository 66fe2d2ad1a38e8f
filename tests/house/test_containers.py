"""The containers' files: the steps of the x86 image are executed in order, the rest is checked for sense."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sdk.serve.metric_families import FAMILIES, HISTOGRAM, Family
from tests.house.dockerfile import Stage, parse
from tests.house.wheelhouse import closure, make_wheels

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
BOUND_SECONDS = 540
READY_SECONDS = 30
"""Half a second alone; the machine may be busy."""
WORD = re.compile(r"edgewright_[a-z_]+")
SELECTOR = re.compile(r"(edgewright_[a-z_]+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
OF_SCRAPE = {"instance", "job", "le"}


@pytest.fixture(scope="module")
def containers(root: Path) -> Path:
    return root / "containers"


@pytest.fixture(scope="module")
def own_namespaces() -> list[str]:
    """The command that runs another in namespaces of its own."""
    if not sys.platform.startswith("linux") or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("no Linux with unshare and ip: the steps of a Dockerfile cannot be executed here")
    command = ["unshare", *NAMESPACES]
    tried = subprocess.run(
        [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"no right to make namespaces and mounts ({tried.stderr.strip()})")
    base = Path(sys.base_prefix) / "bin"
    if not (base / "pip").exists() or not (base / "python").exists():
        pytest.skip(f"no python and pip in {base} to stand in for those of the base image")
    return command


@pytest.fixture(scope="module")
def wheels(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *extras["serve"], *extras["onnx"], "setuptools"]
    folder = make_wheels(tmp_path_factory.mktemp("index") / "wheels", closure(needs).values())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def report(  # noqa: PLR0917 - fixtures
    root: Path,
    containers: Path,
    own_namespaces: list[str],
    wheels: Path,
    light_artifact: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """What came of executing `Dockerfile.x86` and of running the container that it makes."""
    work = tmp_path_factory.mktemp("image")
    picture = work / "bright.png"
    Image.fromarray(np.full((28, 28), 250, np.uint8)).save(picture)
    script = Path(__file__).with_name("run_dockerfile.py")
    arguments = [containers / "Dockerfile.x86", root, wheels, light_artifact, picture, work]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(
        [*own_namespaces, sys.executable, str(script), *map(str, arguments)],
        env=kept, capture_output=True, text=True, timeout=BOUND_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)
    shutil.rmtree(work)


@pytest.mark.slow
def test_every_step_of_the_x86_image_succeeds(report: dict[str, Any], containers: Path) -> None:
    written = [
        instruction for stage in parse(containers / "Dockerfile.x86") for instruction in stage.instructions
    ]

    assert [step for step in report["steps"] if step.get("code")] == []
    assert [step["line"] for step in report["steps"]] == [instruction.line for instruction in written]
    assert sum(step["word"] == "RUN" for step in report["steps"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("start", "replicas"), [("served", 1), ("replicated", 2)])
def test_the_x86_container_answers_as_its_user_on_a_read_only_root(
    report: dict[str, Any], start: str, replicas: int
) -> None:
    served = report[start]

    assert served["user"] == [10001, 10001]
    assert served["health"]["code"] == 0, served
    assert served["ready_s"] < READY_SECONDS
    assert '"label":"bright"' in served["answers"]["said"]
    assert f"edgewright_ready_replicas {replicas}.0" in served["answers"]["said"]
    assert served["writes"]["code"] != 0
    assert "Read-only file system" in served["writes"]["said"]


@pytest.mark.slow
@pytest.mark.parametrize(("start", "said"), [("served", ""), ("replicated", " in 2 processes")])
def test_the_x86_container_ends_cleanly_and_says_nothing_alarming(
    report: dict[str, Any], start: str, said: str
) -> None:
    served = report[start]

    assert served["ended"] == 0, served["log"]
    assert served["health_behind"] == 1
    assert served["left_in_tmp"] == []
    assert served["log"].splitlines() == [f"edgewright: serving model on http://0.0.0.0:8000{said}"]


@pytest.mark.slow
def test_the_x86_container_holds_no_training_packages(report: dict[str, Any]) -> None:
    installed = next(
        step["said"] for step in report["steps"] if "install" in step["text"] and step["word"] == "RUN"
    )

    assert " onnxruntime-" in installed
    for package in ("torch", "lightning", "gradio", "mlflow", "pytest"):
        assert f" {package}-" not in installed


@pytest.mark.parametrize("name", ["Dockerfile.x86", "Dockerfile.jetson"])
def test_image_runs_as_nobody_in_particular_with_a_health_check(containers: Path, name: str) -> None:
    *_, last = parse(containers / name)
    health = last.last("HEALTHCHECK").text

    assert last.last("USER").text in ("10001:10001", "edgewright")
    assert "/health/ready" in health
    assert last.last("STOPSIGNAL").text == "SIGTERM"
    assert last.last("ENTRYPOINT").text.startswith("[")
    compile(json.loads(health.partition("CMD ")[2])[-1], "HEALTHCHECK", "exec")


@pytest.mark.parametrize("name", ["Dockerfile.x86", "Dockerfile.jetson"])
def test_image_copies_what_is_there_and_what_its_ignore_file_lets_through(
    containers: Path, name: str
) -> None:
    ignore = (containers / f"{name}.dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignore if line.startswith("!")}

    for source in _copied(parse(containers / name)):
        assert (containers.parent / source).exists(), source
        assert source in let_through


def _jetson_start(containers: Path, folder: Path, stand_in: str, *words: str) -> subprocess.Popen[str]:
    """Start the script of the Jetson image with a stand-in for the command."""
    (folder / "edgewright").write_text(f"#!/bin/sh\n{stand_in}\n")
    (folder / "edgewright").chmod(0o755)
    variables = {"PATH": f"{folder}:/usr/bin:/bin", "MODEL": "/models/shop.onnx", "PRECISION": "fp16"}
    script = containers / "serve-on-jetson.sh"
    return subprocess.Popen([script, *words], env=variables, stdout=subprocess.PIPE, text=True)


def test_jetson_start_builds_for_the_board_and_then_serves(containers: Path, tmp_path: Path) -> None:
    said = _jetson_start(containers, tmp_path, 'echo "$@"', "--port", "8000").communicate(timeout=30)[0]

    build, serve = said.splitlines()
    kept = "--cache /engines/cache --out /engines/shop.trt --overwrite"
    assert build == f"build /models/shop.onnx --precision fp16 {kept}"
    assert serve == "serve shop=/engines/shop.trt --port 8000"


def test_jetson_start_ends_where_the_engine_cannot_be_built(containers: Path, tmp_path: Path) -> None:
    started = _jetson_start(containers, tmp_path, 'echo "$1"; exit 2')

    assert started.communicate(timeout=30)[0] == "build\n"
    assert started.returncode == 2


def test_jetson_start_that_is_stopped_leaves_no_build_behind(containers: Path, tmp_path: Path) -> None:
    started = _jetson_start(containers, tmp_path, "echo building; exec sleep 60")
    assert started.stdout is not None
    try:
        assert started.stdout.readline() == "building\n"
        started.terminate()
        rest = started.communicate(timeout=30)[
            0
        ]  # its end comes when the build has closed its output as well
    finally:
        started.kill()

    assert (started.returncode, rest) == (143, "")


def test_compose_mounts_what_is_there_and_publishes_to_this_machine_alone(containers: Path) -> None:
    compose = _read(containers / "compose.yaml")

    assert set(compose["services"]) == {"edgewright", "prometheus", "grafana"}
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            made = source in compose["volumes"] or source == "./models"
            assert made or (containers / source).exists(), mount
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["cap_drop"] == ["ALL"]
    server = compose["services"]["edgewright"]
    assert server["read_only"] and server["tmpfs"] == ["/tmp"]
    assert (containers / server["build"]["context"] / server["build"]["dockerfile"]).is_file()


def test_compose_starts_the_server_with_words_that_it_knows(containers: Path) -> None:
    import argparse

    from sdk.commands import serve

    compose = _read(containers / "compose.yaml")
    *_, last = parse(containers / "Dockerfile.x86")
    parser = argparse.ArgumentParser()
    serve.configure(parser)

    for command in (compose["services"]["edgewright"]["command"], last.last("CMD").words):
        words = [*last.last("ENTRYPOINT").words[2:], *command]
        assert parser.parse_args(words).artifacts == ["/models/model.onnx"]


def test_prometheus_scrapes_the_server_and_grafana_finds_prometheus(containers: Path) -> None:
    prometheus = _read(containers / "prometheus.yml")
    provisioning = containers / "grafana" / "provisioning"
    source = _read(provisioning / "datasources" / "prometheus.yaml")
    boards = _read(provisioning / "dashboards" / "edgewright.yaml")
    compose = _read(containers / "compose.yaml")

    assert prometheus["scrape_configs"][0]["static_configs"][0]["targets"] == ["edgewright:8000"]
    assert prometheus["rule_files"] == ["alerts.yml"]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    mounted = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert boards["providers"][0]["options"]["path"] in mounted


def test_dashboard_asks_for_metrics_and_labels_that_exist(containers: Path) -> None:
    board = _board(containers)
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"
    ]

    assert len(asked) > 20
    for query in asked:
        _require_known(query)


def test_dashboard_shows_every_metric(containers: Path) -> None:
    text = json.dumps([panel.get("targets") for panel in _board(containers)["panels"]])
    shown = {_family(name) for name in WORD.findall(text)}

    assert [family.name for family in FAMILIES if family not in shown] == []


def test_dashboard_panels_stand_side_by_side_and_explain_themselves(containers: Path) -> None:
    panels = _board(containers)["panels"]
    taken: set[tuple[int, int]] = set()

    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_alerts_ask_for_metrics_that_exist_and_say_what_to_do(containers: Path) -> None:
    rules = _read(containers / "alerts.yml")["groups"][0]["rules"]

    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        _require_known(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".") and rule["annotations"]["action"].endswith(".")


def test_every_alert_is_tried_out(containers: Path) -> None:
    rules = _read(containers / "alerts.yml")["groups"][0]["rules"]
    tried = (containers / "alerts_test.yml").read_text(encoding="utf-8")

    for rule in rules:
        assert f'alertname="{rule["alert"]}"' in tried


@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
    ids=["configuration", "alerts"],
)
def test_promtool_accepts(containers: Path, words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool, which comes with Prometheus")
    done = subprocess.run([promtool, *words], cwd=containers, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def _copied(stages: list[Stage]) -> list[str]:
    found = []
    for stage in stages:
        for instruction in stage.instructions:
            words = [word for word in instruction.words if not word.startswith("--chmod")]
            if instruction.word == "COPY" and not words[0].startswith("--from"):
                found += words[:-1]
    return found


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _board(containers: Path) -> dict[str, Any]:
    text = (containers / "grafana" / "dashboards" / "edgewright.json").read_text(encoding="utf-8")
    board: dict[str, Any] = json.loads(text)
    return board


def _family(name: str) -> Family:
    for family in FAMILIES:
        series = {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
        if name in (series if family.kind == HISTOGRAM else {family.name}):
            return family
    raise AssertionError(f"no metric gives a series {name!r}")


def _require_known(query: str) -> None:
    """Every series of a query is one that a server has, and so is every label that it names."""
    families = [_family(name) for name in WORD.findall(query)]
    known = OF_SCRAPE.union(*(family.labels for family in families))
    for name, selected in SELECTOR.findall(query):
        assert set(LABEL.findall(selected)) <= OF_SCRAPE | set(_family(name).labels), query
    for grouped in GROUPED.findall(query):
        assert {label.strip() for label in grouped.split(",")} <= known, query
