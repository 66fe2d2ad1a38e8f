"""The recipe refuses what means nothing, in the words of the command line."""

from __future__ import annotations

import pytest

from export.recipe import PRECISIONS, Recipe
from runtimes import UsageError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precision": "int3"}, "Option --precision: got 'int3', expected one of fp32"),
        ({"precision": "int8", "calibrator": "mean"}, "Option --calibrator: got 'mean'"),
        ({"precision": "int8", "granularity": "per-row"}, "Option --granularity: got 'per-row'"),
        ({"precision": "fp16", "keep": ("a",)}, "Option --keep: got it with --precision fp16"),
    ],
    ids=["precision", "calibrator", "granularity", "keep"],
)
def test_recipe_refuses(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe(**fields)  # type: ignore[arg-type]


def test_recipe_labels_are_different_file_names() -> None:
    labels = [Recipe(precision).label for precision in PRECISIONS]
    assert labels[0] == ""
    assert len(set(labels)) == len(labels)
