"""Engine options that every command which opens an artifact offers."""

from __future__ import annotations

import argparse
from typing import Any


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads`` and what only one or two of the engines have."""
    group = parser.add_argument_group("engine")
    group.add_argument("--threads", type=int, metavar="N", help="threads inside one operator")
    group.add_argument(
        "--provider",
        action="append",
        metavar="NAME",
        help="ONNX Runtime execution provider; repeat for a preference order. "
        "One that is not there is an error, never a silent fall-back",
    )
    group.add_argument(
        "--spinning",
        choices=("never", "running", "always"),
        help="ONNX Runtime: when its threads burn their core while they wait (running)",
    )
    group.add_argument(
        "--device", metavar="NAME", help="cpu or cuda:0 for torch; the GPU's number for TensorRT"
    )
    group.add_argument(
        "--native",
        action=argparse.BooleanOptionalAction,
        help="ExecuTorch: through the compiled shim or not at all; --no-native through Python and torch. "
        "Default: the shim where `edgewright build-native` made it",
    )
    group.add_argument(
        "--cuda-graph", action="store_true", default=None, help="TensorRT: record a run once and replay it"
    )


def runtime_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword options for `Predictor`, without those that were not given."""
    device = int(args.device) if (args.device or "").isdigit() else args.device
    options = {
        "threads": args.threads,
        "providers": args.provider,
        "spinning": args.spinning,
        "device": device,
        "cuda_graph": args.cuda_graph,
        "native": args.native,
        "spec": getattr(args, "foreign_spec", None),  # where a command takes files of other tools
    }
    return {name: value for name, value in options.items() if value is not None}
