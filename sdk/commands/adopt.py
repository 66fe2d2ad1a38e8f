"""Give a model of another tool a contract, so that every command takes it.

Writes the model with a spec, and with what it answers on your inputs on this machine: `verify` tells
whether another machine gives the same answers. Nothing is measured and nothing converted: the model's bytes
stay as they are.

Examples:
  edgewright inspect --propose-spec foreign.onnx > foreign.json     and correct what it guessed
  edgewright adopt foreign.onnx --spec foreign.json --data photos/ --out mine.onnx
  edgewright adopt yolo11n.onnx --data photos/ --out detector.onnx  Ultralytics' own notes are enough
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sdk.commands.runtime_options import add_runtime_options, runtime_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("model", metavar="MODEL", type=Path, help=".onnx, .engine or .trt of another tool")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--spec", metavar="FILE", type=Path, help="how it is fed and read; not needed for Ultralytics' files"
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        required=True,
        help="real inputs: a file, a folder, an .npz of named arrays; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE where it is there already")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    """Adopt, and say what was written."""
    from sdk.bench.inputs import items_from
    from sdk.foreign.adopt import adopt

    artifact = adopt(
        args.model,
        args.out,
        items=items_from(args.data),
        spec=args.spec,
        overwrite=args.overwrite,
        **runtime_options(args),
    )
    spec, evidence = artifact.spec, artifact.manifest.evidence
    print(
        f"{args.out}: {evidence.status}, {spec.input.kind} → {spec.output.kind}, "
        f"{len(artifact.manifest.samples)} golden samples, {artifact.size_bytes / 1e6:.2f} MB"
    )
    return 0
