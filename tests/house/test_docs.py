"""The documentation is executed: what it tells people to type works, in the order in which it stands there.

Each document runs in a copy of the project as a fresh clone would have it, with the running environment
as its `.venv`, so that nothing is installed again. `bash` and `python` blocks are run; `text` is to be read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdk.artifact import read_artifact

ROOMS = ("sdk", "runtimes", "train", "export", "demos", "docs")
FILES = ("Makefile", "pyproject.toml", "constraints.txt", "README.md")
RUN, READ = {"bash", "python"}, {"text", "json", "toml", "c"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONG = {"benchmark", "bring-your-own", "compression", "embedding", "gate", "gpt", "seq2seq", "text", "tuning"}
"""Pages of `docs` that train or measure for more than half a minute: run by `make test-slow`."""
BLOCK_SECONDS = 600
"""The quickstart is the longest: some four minutes alone on two cores."""
ALL_SECONDS = 1200
PROMISED_ACCURACY = 0.86
# The same arithmetic in another order: one picture in a thousand may stand on the edge between two classes.
PROMISED_AGREEMENT = 0.999
BUNDLED_TEST_PICTURES = 1000


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int


def _documents(root: Path) -> list[Path]:
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def _blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(text)]


@pytest.fixture(scope="module")
def clone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a fresh clone holds, as far as the documentation uses it."""
    folder = tmp_path_factory.mktemp("clone") / "edgewright"
    folder.mkdir()
    for room in ROOMS:
        shutil.copytree(root / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(root / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """Variables that make the Makefile take the running environment as installed."""
    stamp = clone / "installed"
    stamp.touch()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "PYTEST_"))}
    bin_folder = Path(sys.executable).parent
    return {
        **kept,
        "PATH": f"{bin_folder}{os.pathsep}{kept['PATH']}",
        "MAKEFLAGS": f"STAMP={stamp}",
    }


def test_every_block_is_either_run_or_marked_as_text(root: Path) -> None:
    for document in _documents(root):
        for block in _blocks(document):
            assert block.language in RUN | READ, f"{document.name}:{block.line}: {block.language!r}"


def test_fences_are_closed(root: Path) -> None:
    for document in _documents(root):
        fences = re.findall(r"^```", document.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(_blocks(document)), document.name


@pytest.fixture(scope="module")
def printed(root: Path, clone: Path, environment: dict[str, str]) -> dict[str, str]:
    """What each block printed, of the short documents. They run in order: the pages of `docs` stand on the
    files that the README's commands write.
    """
    return {
        block.text: _run(block, document.name, clone, environment)
        for document in _documents(root)
        if document.stem not in LONG
        for block in _blocks(document)
        if block.language in RUN
    }


@pytest.mark.timeout(ALL_SECONDS)
def test_readme_and_docs_run_in_order(printed: dict[str, str]) -> None:
    assert {"make quickstart\n", "make test\n"} <= set(printed)


@pytest.mark.slow
@pytest.mark.timeout(ALL_SECONDS)
@pytest.mark.parametrize("page", sorted(LONG))
def test_long_page_runs(
    printed: dict[str, str], root: Path, clone: Path, environment: dict[str, str], page: str
) -> None:
    document = root / "docs" / f"{page}.md"
    runnable = [block for block in _blocks(document) if block.language in RUN]

    for block in runnable:
        _run(block, document.name, clone, environment)

    assert runnable, "a page without anything to run is not long"


@pytest.mark.timeout(ALL_SECONDS)
def test_quickstart_ends_with_the_table(printed: dict[str, str]) -> None:
    lines = printed["make quickstart\n"].splitlines()

    for name in ("product.safetensors", "product.onnx", "product.pte"):
        row = next(line for line in lines if name in line and line.startswith("│"))
        assert "%" in row, row
    assert any(line.startswith("Report: quickstart/report.html") for line in lines)


@pytest.mark.timeout(ALL_SECONDS)
@pytest.mark.parametrize("name", ["product.safetensors", "product.onnx", "product.pte"])
def test_quickstart_reaches_its_accuracy_in_every_runtime(
    printed: dict[str, str], clone: Path, name: str
) -> None:
    evidence = read_artifact(clone / "quickstart" / name).manifest.evidence

    assert evidence.status == ("trained" if name.endswith(".safetensors") else "proved")
    assert evidence.metrics[0].samples == BUNDLED_TEST_PICTURES
    assert evidence.metrics[0].value >= PROMISED_ACCURACY
    assert evidence.parity is None or evidence.parity.agreement >= PROMISED_AGREEMENT


@pytest.mark.timeout(ALL_SECONDS)
def test_predictor_example_names_the_product(printed: dict[str, str], clone: Path) -> None:
    labels = read_artifact(clone / "quickstart" / "product.onnx").spec.output.to_json()["labels"]
    said = next(output for text, output in printed.items() if text.startswith("from sdk import Predictor"))

    assert said.rpartition(" ")[0] in labels


def test_links_between_documents_lead_somewhere(root: Path) -> None:
    for document in _documents(root):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("target", ["test", "test-slow", "check", "quickstart", "help"])
def test_make_target_is_there(clone: Path, environment: dict[str, str], target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=clone, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "pip install" not in done.stdout


def test_make_refuses_a_python_that_is_too_old(clone: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    words = ["make", "test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}

    done = subprocess.run(words, cwd=clone, env=kept, capture_output=True, text=True)

    assert done.returncode == 2
    assert "is Python 3.8.1, expected Python 3.10 to 3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


def _run(block: Block, name: str, clone: Path, environment: dict[str, str]) -> str:
    if block.language == "python":
        command = [sys.executable, "-W", "error", "-c", block.text]
    else:
        # Running the tests inside a test would not end: there, make says what it would do.
        text = re.sub(r"^make (test|check)", r"make -n \1", block.text, flags=re.MULTILINE)
        command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, timeout=BLOCK_SECONDS
    )
    assert done.returncode == 0, f"{name}:{block.line} failed:\n{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout
