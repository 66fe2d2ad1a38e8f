"""`edgewright predict --explain`: which parts of each picture speak for the answer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtimes import UsageError
from sdk.commands.runtime_options import runtime_options
from sdk.input_files import item_of


def explain_files(args: argparse.Namespace, paths: Sequence[Path], targets: Mapping[Path, Path]) -> int:
    """Explain every answer: print it, and save its overlay.

    Args:
        args: Of the command.
        paths: The pictures.
        targets: Where each one's overlay goes.

    Raises:
        UsageError: No folder for the overlays.
    """
    from sdk.predictor import Predictor

    if not targets:
        raise UsageError(
            "Option --explain",
            got="no folder for its pictures",
            expected="--out DIR beside it",
            fix="Add it: an explanation is something to look at.",
        )
    answers: list[dict[str, Any]] = []
    with Predictor(args.artifact, **runtime_options(args)) as predictor:
        for path in paths:
            found = predictor.explain(item_of(path))
            answers.append({"input": str(path), **found.to_dict()})
            if not args.json:
                print(f"{path}: {found.summary()}")
            found.plot().save(targets[path])
    if args.json:
        print(json.dumps(answers, indent=2))
    return 0
