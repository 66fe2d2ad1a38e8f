"""`__all__` is the public face: complete, without doubles, resolvable."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("sdk", "runtimes", "train", "export")
# What the README and the design promise; removing one is a breaking change.
PROMISED = {
    "sdk": {"Predictor", "Spec", "__version__", "read_artifact"},
    "sdk.artifact": {"Artifact", "Manifest", "read_artifact", "write_artifact"},
    "sdk.results": {"Classification", "RankedLabel"},
    "sdk.stream": {"AnnotatedVideo", "Frame", "Stream"},
    "runtimes": {"EdgewrightError", "Program", "Runtime", "TensorInfo", "open_runtime"},
}


def _packages() -> list[str]:
    found = [path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    return sorted(".".join(folder.parts) for folder in found)


@pytest.mark.parametrize("package", _packages())
def test_all_is_what_a_facade_imports(package: str) -> None:
    tree = ast.parse(ROOT.joinpath(*package.split("."), "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS
        for alias in node.names
    }
    facade = not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)
    module = import_module(package)
    listed = getattr(module, "__all__", [])

    assert len(listed) == len(set(listed))
    assert not [name for name in listed if not hasattr(module, name)]
    if facade:
        assert {name for name in imported if not name.startswith("_")} <= set(listed)


@pytest.mark.parametrize("package", PROMISED)
def test_promised_names_are_public(package: str) -> None:
    assert PROMISED[package] <= set(import_module(package).__all__)
