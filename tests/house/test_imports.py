"""The device needs almost nothing: `sdk` and `runtimes` import with numpy and Pillow alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.house.bare_environment import make_environment, run_isolated

IMPORT_EVERYTHING = """
import importlib, json, pathlib, sys
import sdk
site = pathlib.Path(sys.prefix).glob("lib/python*/site-packages").__next__()
names = []
for room in ("sdk", "runtimes"):
    for path in sorted((site / room).rglob("*.py")):
        parts = path.relative_to(site).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
for name in names:
    importlib.import_module(name)
print(json.dumps({"imported": names, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
PREDICT = """
import json, sys
from sdk import Predictor
with Predictor(sys.argv[1]) as predictor:
    label = predictor.predict(sys.argv[2]).label
print(json.dumps({"label": label, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
HELP = """
import json, sys
from sdk.command import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps({"loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
COMMAND = """
import sys
from sdk.command import main
raise SystemExit(main(sys.argv[1:]))
"""
HEAVY = {
    "av",
    "torch",
    "torchvision",
    "lightning",
    "onnx",
    "onnxruntime",
    "executorch",
    "tensorrt",
    "matplotlib",
}


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    return make_environment(tmp_path_factory.mktemp("bare") / "venv", root)


@pytest.fixture(scope="module")
def base_python(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The base installation: every room, and no package but numpy and Pillow."""
    rooms = ("sdk", "runtimes", "train", "export", "demos")
    return make_environment(tmp_path_factory.mktemp("base") / "venv", root, rooms=rooms)


def test_every_module_imports_with_numpy_and_pillow_alone(bare_python: Path, root: Path) -> None:
    done = run_isolated(bare_python, IMPORT_EVERYTHING)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    modules = [path for room in ("sdk", "runtimes") for path in (root / room).rglob("*.py")]
    assert len(seen["imported"]) == len(modules)
    assert not HEAVY & set(seen["loaded"])


def test_the_check_fails_when_a_module_imports_torch(tmp_path: Path, root: Path) -> None:
    for room in ("sdk", "runtimes"):
        shutil.copytree(root / room, tmp_path / "source" / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "source" / "sdk" / "guilty.py").write_text('"""Imports too much."""\nimport torch\n')
    python = make_environment(tmp_path / "venv", tmp_path / "source")

    done = run_isolated(python, IMPORT_EVERYTHING)

    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr


def test_predictor_needs_numpy_pillow_and_onnxruntime_only(
    tmp_path: Path, root: Path, light_artifact: Path
) -> None:
    python = make_environment(tmp_path / "venv", root, ("onnxruntime",))
    Image.fromarray(np.full((28, 28), 255, np.uint8)).save(tmp_path / "white.png")

    done = run_isolated(python, PREDICT, str(light_artifact), str(tmp_path / "white.png"))

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["label"] == "bright"
    assert "onnxruntime" in seen["loaded"]
    assert not (HEAVY - {"onnxruntime"}) & set(seen["loaded"])


@pytest.mark.parametrize(
    "words", ["--help", "predict --help", "train --help", "export --help", "quickstart --help"]
)
def test_help_loads_no_heavy_package(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, *words.split()], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1])["loaded"])


@pytest.mark.parametrize("words", ["train product --data .", "quickstart"])
def test_commands_name_the_extra_when_packages_are_missing(base_python: Path, words: str) -> None:
    done = run_isolated(base_python, COMMAND, *words.split())

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "No module named" in done.stderr
    assert "pip install 'edgewright[all]'" in done.stderr
