"""A git revision as the baseline, in real repositories."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from runtimes import UsageError
from sdk.compare import Contestant
from sdk.compare.revision import revision_of


def _git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path, chain: Path) -> Path:
    """`models/product.onnx` is committed once and changed since; `make.sh` copies it to `built.onnx`."""
    root = tmp_path / "repository"
    (root / "models").mkdir(parents=True)
    _git(root, "init", "--quiet", "--initial-branch", "main")
    shutil.copy(chain, root / "models" / "product.onnx")
    (root / "make.sh").write_text("cp models/product.onnx built.onnx\n")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "--message", "first")
    (root / "models" / "product.onnx").write_bytes(b"changed since")
    (root / "built.onnx").write_bytes(b"of now")
    return root


def test_committed_artifact_is_taken_from_the_revision(repository: Path, chain: Path) -> None:
    candidate = Contestant(repository / "models" / "product.onnx", options={"threads": 1})

    with revision_of(candidate, "main", None) as baseline:
        assert baseline.path.read_bytes() == chain.read_bytes()
        assert baseline.path.name == "product.onnx" and baseline.options == {"threads": 1}
        assert baseline.code is None
    assert not baseline.path.exists()
    assert _git(repository, "worktree", "list").count("\n") == 1


def test_artifact_is_built_in_the_revision(repository: Path, chain: Path) -> None:
    with revision_of(Contestant(repository / "built.onnx"), "HEAD", "sh make.sh") as baseline:
        assert baseline.path.read_bytes() == chain.read_bytes()
    assert (repository / "built.onnx").read_bytes() == b"of now"


def test_revision_that_holds_the_sdk_runs_its_own_code(repository: Path) -> None:
    (repository / "sdk").mkdir()
    (repository / "sdk" / "launch_worker.py").write_text("")
    _git(repository, "add", "sdk")
    _git(repository, "commit", "--quiet", "--message", "sdk")

    with revision_of(Contestant(repository / "models" / "product.onnx"), "main", None) as baseline:
        assert baseline.code is not None and (baseline.code / "sdk" / "launch_worker.py").is_file()


@pytest.mark.parametrize(
    ("name", "ref", "build", "said"),
    [
        ("models/product.onnx", "nowhere", None, "Baseline from revision 'nowhere'"),
        ("built.onnx", "main", None, "no file 'built.onnx'.*--build"),
        ("built.onnx", "main", "true", "no file 'built.onnx' after the build"),
        ("built.onnx", "main", "sh -c 'echo no model >&2; exit 3'", r"exit code 3 \(no model\)"),
        ("built.onnx", "main", "no-such-command", "No such file"),
        ("built.onnx", "main", "sh 'unfinished", "No closing quotation"),
    ],
    ids=["no revision", "not committed", "builds nothing", "build fails", "no command", "bad quoting"],
)
def test_revision_without_the_artifact_is_refused(
    repository: Path, name: str, ref: str, build: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said), revision_of(Contestant(repository / name), ref, build):
        pytest.fail("nothing to compare with")
    assert _git(repository, "worktree", "list").count("\n") == 1


def test_candidate_outside_a_repository_is_refused(tmp_path: Path) -> None:
    candidate = Contestant(tmp_path / "product.onnx")

    with pytest.raises(UsageError, match="inside a git repository"), revision_of(candidate, "main", None):
        pytest.fail("nothing to compare with")
