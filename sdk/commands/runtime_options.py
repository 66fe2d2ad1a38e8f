"""Engine options that every command which opens an artifact offers."""

from __future__ import annotations

import argparse
from typing import Any


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads`` and ``--provider``."""
    group = parser.add_argument_group("engine")
    group.add_argument("--threads", type=int, metavar="N", help="threads inside one operator")
    group.add_argument(
        "--provider",
        action="append",
        metavar="NAME",
        help="ONNX Runtime execution provider; repeat for a preference order. "
        "One that is not there is an error, never a silent fall-back",
    )


def runtime_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword options for `Predictor`, without those that were not given."""
    options = {"threads": args.threads, "providers": args.provider}
    return {name: value for name, value in options.items() if value is not None}
