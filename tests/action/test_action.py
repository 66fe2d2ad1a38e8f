"""The GitHub Action, its steps run as the scripts that they are.

GitHub itself cannot be here: `gh` is a stand-in that keeps what it is handed, and the expressions between
`${{` and `}}` are filled in by this file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from demos.study_models import write_chain

_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_GH = """#!/bin/sh
echo "$@" >> "$GH_LOG"
for word in "$@"; do case "$word" in body=@*) cp "${word#body=@}" "$GH_LOG.body" ;; esac; done
"""


@pytest.fixture(scope="module")
def action(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "action.yml").read_text())


class Runner:
    """Runs the steps of a composite action in a folder, as the documentation of GitHub Actions says."""

    def __init__(self, action: Mapping[str, Any], folder: Path, inputs: Mapping[str, str]) -> None:
        self.folder, self.action = folder, action
        given = {name: str(entry.get("default", "")) for name, entry in action["inputs"].items()}
        self.values = {f"inputs.{name}": value for name, value in {**given, **inputs}.items()}
        self.values |= {
            "github.event_name": "pull_request",
            "github.repository": "someone/something",
            "github.event.pull_request.number": "7",
            "github.token": "secret",
        }
        self.gh_log = folder / "gh.log"
        self.summary = folder / "summary.md"
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(_GH)
        (folder / "bin" / "gh").chmod(0o755)

    def run(self) -> int:
        """The exit code of the first step that fails, else 0."""
        for step in self.action["runs"]["steps"]:
            if "if" in step and not self._holds(step["if"]):
                continue
            done = self._step(step)
            if done.returncode != 0:
                return done.returncode
        return 0

    def _step(self, step: Mapping[str, Any]) -> subprocess.CompletedProcess[bytes]:
        output = self.folder / "output"
        output.write_text("")
        environment = {
            **os.environ,
            **{name: self._filled(value) for name, value in step.get("env", {}).items()},
            "PATH": os.pathsep.join(
                [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "RUNNER_TEMP": str(self.folder),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GH_LOG": str(self.gh_log),
        }
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=self.folder, env=environment
        )
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.values[f"steps.{step['id']}.outputs.{name}"] = value
        return done

    def _filled(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self.values[match[1]], text)

    def _holds(self, condition: str) -> bool:
        (inside,) = _EXPRESSION.findall(condition)
        return all(self._compared(part) for part in inside.split("&&"))

    def _compared(self, part: str) -> bool:
        left, sign, right = part.split()
        equal = self.values.get(left, "") == right.strip("'")
        return equal if sign == "==" else not equal


def test_steps_use_declared_inputs_and_outputs_only(action: dict[str, Any]) -> None:
    used = set(re.findall(r"inputs\.([\w-]+)", str(action["runs"])))
    steps = {step["id"] for step in action["runs"]["steps"] if "id" in step}

    assert used == set(action["inputs"]) - {"token"} | ({"token"} & used)
    assert all(entry["description"] for entry in action["inputs"].values())
    assert {re.search(r"steps\.(\w+)", o["value"])[1] for o in action["outputs"].values()} <= steps  # type: ignore[index]


def test_options_in_the_script_are_options_of_the_command(action: dict[str, Any]) -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "sdk.command", "compare", "--help"], capture_output=True, text=True, check=True
    ).stdout
    (script,) = (step["run"] for step in action["runs"]["steps"] if step.get("id") == "compare")

    assert set(re.findall(r"(?<![\w-])--[a-z-]+", script)) <= set(re.findall(r"--[a-z-]+", helped))


def test_input_that_cannot_be_compared_fails_the_job(action: dict[str, Any], tmp_path: Path) -> None:
    runner = Runner(action, tmp_path, {"candidate": "none.onnx", "baseline": "none.onnx"})

    assert runner.run() == 2
    assert not runner.gh_log.exists()


@pytest.mark.slow
def test_slowed_down_artifact_fails_with_a_comment(action: dict[str, Any], tmp_path: Path) -> None:
    write_chain(tmp_path / "released.onnx", 40)
    write_chain(tmp_path / "slowed.onnx", 48)
    runner = Runner(action, tmp_path, {"candidate": "slowed.onnx", "baseline": "released.onnx"})

    assert runner.run() == 1

    comment = Path(f"{runner.gh_log}.body").read_text()
    assert re.search(
        r"Regression: slowed.onnx against released.onnx: latency 1\.\d+ \(1\.\d+ to 1\.\d+\)", comment
    )
    assert "--method POST repos/someone/something/issues/7/comments" in runner.gh_log.read_text()
    assert runner.summary.read_text() == comment
    assert runner.values["steps.compare.outputs.verdict"] == "regression"
    assert Path(runner.values["steps.compare.outputs.junit"]).exists()


@pytest.mark.slow
def test_equal_artifact_of_a_revision_passes(action: dict[str, Any], tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    write_chain(repository / "product.onnx", 40)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=repository, check=True)
    shutil.copy(repository / "product.onnx", tmp_path / "copy.onnx")
    runner = Runner(action, tmp_path, {"candidate": "repository/product.onnx", "baseline-ref": "main"})

    assert runner.run() == 0
    assert runner.values["steps.compare.outputs.verdict"] == "pass"
