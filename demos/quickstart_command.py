"""Train, export, prove and time a classifier on bundled real images, with a report.

Takes about four minutes on two cores and writes into one folder: the checkpoint (product.safetensors), the
artifacts made from it (product.onnx, product.pte and, where a TensorRT builder is installed, product.trt; the
first two also in int8, and pruned and in int8), a picture to try them on (sample.png), the report
(report.html), and their latencies (bench.html, bench.json). What was there before under these names is
replaced.

Examples:
  edgewright quickstart
  edgewright quickstart --data fashion-mnist/ --epochs 20 --out full/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runtimes import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("quickstart"), help="default: quickstart/"
    )
    parser.add_argument(
        "--data", metavar="PATH", type=Path, help="data of task `product`; default: the bundled sample"
    )
    parser.add_argument("--epochs", metavar="N", type=int, default=16, help="default: 16")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="default: 0")


def run(args: argparse.Namespace) -> int:
    """Run it and print the table."""
    if args.epochs < 1:
        raise UsageError("Option --epochs", got=str(args.epochs), expected="at least 1", fix="Correct it.")

    from demos.quickstart import Quickstart, run_quickstart
    from demos.summary import print_table

    rows = run_quickstart(Quickstart(out=args.out, data=args.data, epochs=args.epochs, seed=args.seed))
    print_table(rows)
    print(f"Report: {args.out / 'report.html'}")
    print(f"Latencies: {args.out / 'bench.html'}")
    print(f"Try it: edgewright predict {args.out / 'product.onnx'} {args.out / 'sample.png'}")
    return 0
