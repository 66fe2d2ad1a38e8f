"""Files to predict on, as people name them on a command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtimes import InputError
from runtimes.errors import first_line


def files_in(given: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files as they are, and for each folder the files in it, in name order; hidden ones are left out.

    Raises:
        InputError: A path is not there, or a folder holds no files.
    """
    paths: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise InputError(
                    f"Folder {path.name!r}", got="no files", expected="at least one", fix="Check the path."
                )
            paths.extend(inside)
        else:
            paths.append(path)
    return paths


def bytes_of_base64(value: Any) -> bytes:
    """The bytes that a JSON request carries as ``{"base64": "…"}``.

    Raises:
        InputError: It is of another form.
    """
    from base64 import b64decode

    text = value.get("base64") if isinstance(value, Mapping) and len(value) == 1 else None
    try:
        if isinstance(text, str):
            return b64decode(text, validate=True)
        got = f"JSON of type {type(value).__name__}"
    except ValueError as error:
        got = f"what is no base64 ({first_line(error)})"
    raise InputError(
        "Item", got=got, expected='{"base64": "…"}, the bytes of a file', fix="Encode the file in base64."
    )


def item_of(path: Path) -> Any:
    """What `Predictor.predict` takes for a file: the array of an ``.npy``, the path of anything else.

    Raises:
        InputError: An ``.npy`` that is no plain array.
    """
    if path.suffix.lower() != ".npy":
        return path
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"Array {path.name!r}",
            got="a file that is no plain .npy array",
            expected="an array saved by np.save",
            fix="Save it again without objects.",
        ) from error
