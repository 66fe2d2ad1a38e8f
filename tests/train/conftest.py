"""Small data sets, and options that train on them in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.small_data import CLASSES, COLOURS, SIDE_PX, write_pictures
from train.options import TrainOptions, make_options


@pytest.fixture(scope="session")
def colour_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class, three colours, 20 pictures each. Read only."""
    root = tmp_path_factory.mktemp("colours")
    for at, label in enumerate(CLASSES):
        write_pictures(root / label, COLOURS[label], 20, seed=at)
    return root


@pytest.fixture(scope="session")
def split_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its own train, val and test parts. Read only."""
    root = tmp_path_factory.mktemp("splits")
    for part, count in (("train", 12), ("val", 4), ("test", 6)):
        for at, label in enumerate(CLASSES):
            write_pictures(root / part / label, COLOURS[label], count, seed=10 * at + count)
    return root


@pytest.fixture
def quick(colour_folder: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    """Options of a run of a second or two: ``quick(epochs=3)``."""

    def options(**given: Any) -> TrainOptions:
        data = given.pop("data", colour_folder)
        out = given.pop("out", tmp_path / "run")
        defaults = {
            "epochs": 2,
            "batch_size": 8,
            "lr": 1e-3,
            "image_size": SIDE_PX,
            "threads": 1,
            "device": "cpu",
        }
        return make_options("product", data, out, **{**defaults, **given})

    return options
