"""Compiling and finding the shim, and what is said where that is not possible."""

from __future__ import annotations

import argparse
import json
import stat
from pathlib import Path

import pytest

from runtimes import EngineError, EngineMissingError, executorch_build
from runtimes.executorch_build import build_shim
from runtimes.executorch_shim import FOLDER_VARIABLE, SOURCE, Package, find_package, find_shim, folders
from sdk.commands import build_native
from tests.runtimes.shim import shim_folder


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pytest.importorskip("executorch", reason="executorch is not installed")
    shim_folder()  # skips where nothing can be compiled
    folder = tmp_path / "native"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


@pytest.fixture
def fake_compiler(tmp_path: Path) -> Path:
    """A command that complains and fails."""
    path = tmp_path / "c++"
    path.write_text("#!/bin/sh\necho 'shim.cpp:1: error: this is not C++17' >&2\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def build_native_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    build_native.configure(parser)
    return build_native.run(parser.parse_args(words))


def test_build_native_command_writes_a_library_that_is_found(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_shim(find_package()) is None
    assert build_native_command("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert find_shim(find_package()) == Path(report["library"])
    assert [path.name for path in own_folder.iterdir()] == [Path(report["library"]).name]
    assert report["size_bytes"] > 10_000


def test_build_refused_by_the_compiler_leaves_nothing(own_folder: Path, fake_compiler: Path) -> None:
    with pytest.raises(EngineError, match=r"got shim.cpp:1: error: this is not C\+\+17, expected a compiler"):
        build_shim(compiler=str(fake_compiler))
    assert list(own_folder.iterdir()) == []


def test_build_without_a_compiler_names_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineMissingError, match=r"got no command 'nope\+\+'.*apt-get install g\+\+"):
        build_shim(compiler="nope++")
    with pytest.raises(EngineMissingError):
        build_native_command("--compiler", "nope++")
    assert build_native_command("--compiler", "nope++", "--if-possible") == 0
    assert capsys.readouterr().out.startswith("Not built. C++ compiler: got no command")


def test_build_for_an_executorch_without_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executorch_build, "find_package", lambda: Package(tmp_path, "1.0"))
    with pytest.raises(EngineMissingError, match=r"got executorch 1.0 without program.h.*native=False"):
        build_shim()


def test_build_into_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"expected a folder to write to.*EDGEWRIGHT_NATIVE"):
        build_shim(tmp_path / "file" / "below")


def test_shim_of_another_version_is_not_found(tmp_path: Path) -> None:
    ours = find_package()
    (tmp_path / "version.py").write_text('__version__ = "9.9"\n')
    assert Package(tmp_path, "9.9").key != ours.key
    assert find_shim(Package(tmp_path, "9.9")) is None


def test_folders_are_those_of_the_environment_and_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert folders()[-1] == Path("/somewhere/edgewright/native")
    monkeypatch.setenv(FOLDER_VARIABLE, "/named")
    assert folders() == (Path("/named"),)


def test_source_names_no_processor() -> None:
    """aarch64 is a device that it is for."""
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.parent.iterdir())
    assert not [word for word in ("__x86", "immintrin", "__AVX", "_mm_", "asm(") if word in text]
