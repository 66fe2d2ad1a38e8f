"""A git revision as the baseline: its artifact, taken or built in a worktree of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runtimes import UsageError
from sdk.compare.rounds import Contestant

_WORKER = Path("sdk") / "launch_worker.py"


@contextmanager
def revision_of(candidate: Contestant, ref: str, build: str | None) -> Iterator[Contestant]:
    """The candidate as it is in the revision `ref` of its repository.

    The revision is checked out in a temporary worktree, which goes away afterwards. When the revision holds
    the `sdk` package itself, its own code runs its artifact, so that a slower `Predictor` is found as well.

    Args:
        candidate: Its path must lie in a git repository; the baseline lies at the same place in the worktree.
        ref: What git resolves to a commit.
        build: Command that makes the artifact, run at the worktree's root; None when the file is committed.

    Raises:
        UsageError: No repository, no such revision, a build that fails or makes no artifact.
    """
    folder = candidate.path.absolute().parent
    root = Path(_git(folder, "rev-parse", "--show-toplevel"))
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", about=f"revision {ref!r}")
    inside = candidate.path.absolute().resolve().relative_to(root.resolve())
    with tempfile.TemporaryDirectory(prefix="edgewright-baseline-") as temporary:
        tree = Path(temporary) / "tree"
        _git(root, "worktree", "add", "--detach", "--force", str(tree), commit)
        try:
            if build:
                _build(tree, build)
            if not (tree / inside).is_file():
                raise UsageError(
                    f"Revision {ref!r}",
                    got=f"no file {str(inside)!r}" + (" after the build" if build else ""),
                    expected="the baseline at the candidate's place",
                    fix="Name the command that makes it with --build." if not build else "Correct --build.",
                )
            code = tree if (tree / _WORKER).is_file() else None
            yield replace(candidate, path=tree / inside, code=code)
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def _build(tree: Path, command: str) -> None:
    """Run the build with the worktree's own code first on the import path."""
    paths = [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(shlex.split(command), cwd=tree, env=environment, capture_output=True, text=True)
    except (OSError, ValueError) as error:
        raise _build_failed(command, str(error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise _build_failed(
            command, f"exit code {done.returncode} ({said[-1] if said else 'it said nothing'})"
        )


def _build_failed(command: str, got: str) -> UsageError:
    return UsageError(
        f"Build {command!r}",
        got=got,
        expected="a command that makes the baseline",
        fix="Run it by hand at the root of a checkout of that revision.",
    )


def _git(folder: Path, *words: str, about: str = "git repository") -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise _not_found(about, str(error)) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise _not_found(about, said[-1] if said else "nothing of that name")
    return done.stdout.strip()


def _not_found(about: str, got: str) -> UsageError:
    return UsageError(
        f"Baseline from a {about}" if about == "git repository" else f"Baseline from {about}",
        got=got,
        expected="a candidate inside a git repository that has that revision",
        fix="Fetch it (a shallow clone lacks older ones), or compare with a file instead.",
    )
