"""Specs as people hand them in: objects, JSON data, or files that they have corrected."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes import SpecError
from sdk.spec import Spec

DRAFT_KEYS = ("spec", "certain", "guessed")
"""What a draft holds beside the spec: notes, which nobody but people read."""


def read_spec(given: Spec | Mapping[str, Any] | str | os.PathLike[str]) -> Spec:
    """The spec that somebody handed in.

    Args:
        given: A `Spec`; its JSON data; a draft's; or a JSON file of either.

    Raises:
        SpecError: It cannot be read.
    """
    if isinstance(given, Spec):
        return given
    where = "spec"
    if isinstance(given, (str, os.PathLike)):
        where = f"Spec {Path(given).name!r}"
        given = _read(Path(given))
    if isinstance(given, Mapping) and "spec" in given:
        unknown = sorted(set(given) - set(DRAFT_KEYS))
        if unknown:
            raise SpecError(where, got=f"unknown key {unknown[0]!r}", expected=f"only {list(DRAFT_KEYS)}",
                            fix="Remove it.")  # fmt: skip
        given = given["spec"]
    return Spec.from_json(given, where)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        got = error.strerror or str(error) if isinstance(error, OSError) else f"no JSON ({error})"
        raise SpecError(
            f"Spec {path.name!r}",
            got=got,
            expected="a JSON file of a spec",
            fix="Draft one with `edgewright inspect --propose-spec FILE.onnx`.",
        ) from error
