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

ROOMS = ("sdk", "runtimes", "train", "export", "demos", "docs")
FILES = ("Makefile", "pyproject.toml", "constraints.txt", "README.md")
RUN, READ = {"bash", "python"}, {"text", "json", "toml", "c"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_SECONDS = 420
"""The quickstart is the longest: at most four minutes alone on two cores."""


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


def test_readme_and_docs_run_in_order(root: Path, clone: Path, environment: dict[str, str]) -> None:
    """One test, because each block stands on the files that the ones before it wrote."""
    for document in _documents(root):
        for block in _blocks(document):
            if block.language in RUN:
                _run(block, document.name, clone, environment)


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


def _run(block: Block, name: str, clone: Path, environment: dict[str, str]) -> None:
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
