"""The packaging says what is true: entry points resolve, pins fit ranges, the changelog knows the version."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import distribution, entry_points
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sdk

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
ROOMS = ("sdk", "runtimes", "train", "export", "demos")
# On the index, but without its libraries: it comes with JetPack or from NVIDIA's own index.
NOT_PINNED = {"tensorrt"}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(root: Path) -> list[Requirement]:
    lines = (root / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("group", ["edgewright.commands", "edgewright.networks"])
def test_entry_points_installed_match_pyproject(project: dict[str, Any], group: str) -> None:
    installed = {e.name: e.value for e in entry_points(group=group) if e.dist and e.dist.name == "edgewright"}

    assert installed == project["entry-points"][group], "install again: pip install --no-deps -e ."


def test_commands_are_modules_with_help_configure_and_run(project: dict[str, Any]) -> None:
    for name, target in project["entry-points"]["edgewright.commands"].items():
        module = import_module(target)
        assert (module.__doc__ or "").splitlines()[0].strip(), f"{name} has no help line"
        assert list(inspect.signature(module.configure).parameters) == ["parser"], name
        assert list(inspect.signature(module.run).parameters) == ["args"], name


def test_networks_are_callable() -> None:
    for entry in entry_points(group="edgewright.networks"):
        assert callable(entry.load()), entry.name


def test_changelog_mentions_the_version(root: Path, project: dict[str, Any]) -> None:
    assert f"## [{project['version']}]" in (root / "CHANGELOG.md").read_text()


def test_version_is_the_same_everywhere(project: dict[str, Any]) -> None:
    assert sdk.__version__ == project["version"] == distribution("edgewright").version


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_ship_their_type_marker(root: Path, room: str) -> None:
    assert (root / room / "py.typed").is_file()


def test_base_dependencies_are_numpy_and_pillow_only(project: dict[str, Any]) -> None:
    assert {Requirement(line).name for line in project["dependencies"]} == {"numpy", "pillow"}


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_every_requirement_within_its_range(pins: list[Requirement], python: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    pinned = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(here)
    }
    for line in distribution("edgewright").requires or []:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        if name == "edgewright" or name in NOT_PINNED:
            continue
        assert wanted.specifier.contains(pinned[name]), f"{line}: constraints.txt has {pinned[name]}"


def test_constraints_name_each_package_once_per_python(pins: list[Requirement]) -> None:
    for python in PYTHONS:
        here = {"python_version": python, "python_full_version": f"{python}.0"}
        names = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(here)]
        assert len(names) == len(set(names)), f"a package is pinned twice for Python {python}"
