"""What predictions are timed on: real inputs, never zeros."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from runtimes import InputError
from sdk.artifact import Artifact
from sdk.input_files import files_in, item_of

MOST_ITEMS = 256
"""Enough variety for any cache, and little memory."""
STACK_AXES = 4
"""An array of so many axes is a stack of pictures (N, H, W, C)."""


def golden_items(artifact: Artifact) -> list[Any]:
    """The artifact's own golden samples: encoded real inputs.

    Raises:
        InputError: It has none.
    """
    if not artifact.manifest.samples:
        raise InputError(
            f"Artifact {artifact.path.name!r}",
            got="no golden samples",
            expected="real inputs to time predictions on",
            fix="Pass some with --data, a file or a folder.",
        )
    return [sample.item() for sample in artifact.manifest.samples]


def items_from(given: Sequence[str | os.PathLike[str]]) -> list[Any]:
    """The first `MOST_ITEMS` items of files and folders: arrays from ``.npy``, paths of everything else.

    Args:
        given: Files, or folders whose files are taken in name order.

    Raises:
        InputError: A path is not there, a folder is empty, or an ``.npy`` is none.
    """
    items: list[Any] = []
    for path in files_in(given):
        if len(items) >= MOST_ITEMS:
            break
        if not path.exists():
            raise InputError(
                f"Data {path.name!r}",
                got="no such file",
                expected="a file or a folder",
                fix="Check the path.",
            )
        item = item_of(path)
        items += list(item) if isinstance(item, np.ndarray) and item.ndim == STACK_AXES else [item]
    return items[:MOST_ITEMS]
