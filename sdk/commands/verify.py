"""Replay an artifact's golden samples on this machine.

Every artifact carries real inputs with the answers of the checkpoint. They run through the whole of
Predictor here, and the worst difference is held against the tolerance that export recorded.
Exit code 0: within tolerance; 1: not, so this machine does not give the proved answers.

Example:
  edgewright verify product.onnx product.pte
"""

from __future__ import annotations

import argparse
import json

from sdk.commands.runtime_options import add_runtime_options, runtime_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "artifacts", metavar="ARTIFACT", nargs="+", help="file written by train, export or build"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Verify each artifact and print its worst difference."""
    from sdk.predictor import Predictor

    reports = []
    for path in args.artifacts:
        with Predictor(path, **runtime_options(args)) as predictor:
            found = predictor.verify()
        reports.append(
            {
                "artifact": path,
                "holds": found.holds,
                "samples": found.samples,
                "worst_difference": found.worst_difference,
                "tolerance": found.tolerance,
            }
        )
        if not args.json:
            print(
                f"{path}: {'holds' if found.holds else 'DOES NOT HOLD'}: worst difference "
                f"{found.worst_difference:.2e} on {found.samples} golden samples "
                f"(tolerance {found.tolerance:.0e})"
            )
    if args.json:
        print(json.dumps(reports, indent=2))
    return 0 if all(report["holds"] for report in reports) else 1
