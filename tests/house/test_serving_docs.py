"""What the pages about serving say: their `curl` lines are run, their tables compared with the code."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from sdk.commands import serve
from sdk.serve.metric_families import FAMILIES
from sdk.serve.problems import TITLES
from tests.served import served

HERE = "http://127.0.0.1:8000"
PAGES = ("serving.md", "containers.md", "metrics.md")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHERS = {
    "--rm", "--read-only", "--tmpfs", "--cap-drop", "--runtime", "--build", "--build-arg", "--health-cmd",
    "--stop-timeout", "--data-binary", "--json", "--url", "--clients", "--seconds",
}  # fmt: skip
"""Of docker, curl and the load test."""


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    return {name: (root / "docs" / name).read_text(encoding="utf-8") for name in PAGES}


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    return parser


def _curl_lines(pages: dict[str, str]) -> list[str]:
    """Those about pictures."""
    lines = [line for line in pages["serving.md"].splitlines() if line.startswith("curl ")]
    return [line for line in lines if ":generate" not in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's `sample.png` is."""
    folder = tmp_path_factory.mktemp("page")
    Image.fromarray(np.full((28, 28), 250, np.uint8)).save(folder / "sample.png")
    return folder


@pytest.fixture(scope="module")
def address(light_artifact: Path) -> Iterator[str]:
    with served({"product": light_artifact}) as address:
        yield address


def test_curl_lines_of_the_page_get_what_it_promises(
    pages: dict[str, str], address: str, folder: Path
) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl")
    answers = []
    for line in _curl_lines(pages):
        command = line.replace(HERE, address).replace("curl ", "curl --silent --show-error --fail ", 1)
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        answers.append(json.loads(done.stdout))

    raw, form, array, model, ready = answers
    shown = json.loads(re.findall(r"```json\n(.*?)```", pages["serving.md"], re.DOTALL)[0])
    assert set(raw) == set(shown)
    assert [len(answer["results"]) for answer in (raw, form, array)] == [1, 2, 1]
    assert {result["label"] for answer in (raw, form, array) for result in answer["results"]} == {"bright"}
    assert model["name"] == "product"
    assert ready == {"status": "ready"}


@pytest.mark.parametrize("package", ["sdk.client", "tritonclient.http"])
def test_programs_of_the_page_print_the_answer(
    pages: dict[str, str], address: str, folder: Path, root: Path, package: str
) -> None:
    if find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"no {package}")
    blocks = re.findall(r"```text\n(.*?)```", pages["serving.md"], re.DOTALL)
    program = next(block for block in blocks if f"from {package} import" in block)
    program = program.replace(HERE, address).replace(urlsplit(HERE).netloc, urlsplit(address).netloc)
    variables = {**os.environ, "PYTHONPATH": str(root)}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=variables, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "bright" in done.stdout


def test_options_that_the_pages_name_exist(pages: dict[str, str], parser: argparse.ArgumentParser) -> None:
    known = {option for action in parser._actions for option in action.option_strings}
    named = {option for text in pages.values() for option in OPTION.findall(text)}

    assert named - known - OF_OTHERS == set()
    assert len(named & known) > 15


def test_bounds_of_the_page_are_the_defaults(pages: dict[str, str], parser: argparse.ArgumentParser) -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)` \| ([\d.]+) \|", pages["serving.md"], re.MULTILINE)
    defaults: dict[str, Any] = {
        option: action.default for action in parser._actions for option in action.option_strings
    }

    assert len(rows) == 8
    for option, said in rows:
        if defaults[option] is not None:
            assert float(said) == defaults[option], option


def test_every_status_that_is_no_success_is_explained(pages: dict[str, str]) -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", pages["serving.md"], re.MULTILINE)

    assert {int(status) for row in rows for status in row.split(", ")} == set(TITLES)


def test_every_metric_is_explained(pages: dict[str, str]) -> None:
    for family in FAMILIES:
        labels = ", ".join(family.labels) or "–"
        assert f"| `{family.name}` | {family.kind} | {labels} | {family.help} |" in pages["metrics.md"]


def test_number_of_alerts_is_the_one_that_is_told(root: Path, pages: dict[str, str]) -> None:
    alerts = (root / "containers" / "alerts.yml").read_text(encoding="utf-8").count("- alert: ")

    assert alerts == 10
    assert "holds ten rules" in pages["metrics.md"]
