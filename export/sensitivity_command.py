"""Rank a checkpoint's layers by what quantising or pruning each alone costs.

Every layer is compressed by itself and the task is measured again, on the validation split: never on the one
that accuracy is reported on. Prints a table, the worst layer first; with --out also writes sensitivity.json
and sensitivity.png. The worst layers are what `edgewright export --keep` leaves in fp32.

Examples:
  edgewright sensitivity runs/product/product.safetensors
  edgewright sensitivity runs/product/product.safetensors --of pruning --ratio 0.5 --out analysis/
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.sensitivity import LayerEffect


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors written by train")
    parser.add_argument("--of", choices=("int8", "pruning"), default="int8", help="default: int8")
    parser.add_argument(
        "--ratio", type=float, default=0.5, metavar="SHARE", help="of channels to prune; default: 0.5"
    )
    parser.add_argument(
        "--granularity",
        choices=("per-channel", "per-tensor"),
        default="per-channel",
        help="scales of int8 weights; default: per-channel",
    )
    parser.add_argument("--data", metavar="PATH", type=Path, help="default: what it was trained on")
    parser.add_argument(
        "--samples", type=int, default=1000, metavar="N", help="of the validation split; default: 1000"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write sensitivity.json and sensitivity.png")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    from export.progress import progress_bars
    from export.sensitivity_plot import effects_png
    from export.sensitivity_run import Question, measure_sensitivity
    from sdk.atomic_write import atomic_write

    question = Question(args.of, args.ratio, args.granularity, args.samples)
    with progress_bars() as progress:
        effects = measure_sensitivity(args.checkpoint, args.data, question, progress)
    tree = [effect.to_json() for effect in effects]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        atomic_write(args.out / "sensitivity.json", json.dumps(tree, indent=2))
        atomic_write(args.out / "sensitivity.png", effects_png(effects, question.title))
    if args.json:
        print(json.dumps(tree, indent=2))
    else:
        _print_table(effects, question.title)
    return 0


def _print_table(effects: list[LayerEffect], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, header_style="bold", title_justify="left")
    table.add_column("layer", no_wrap=True)
    for column in ("kind", "weights", "drop in points", "output error"):
        table.add_column(column, justify="right", no_wrap=True)
    for effect in effects:
        table.add_row(
            effect.layer,
            effect.kind,
            f"{effect.weights:,}",
            f"{effect.drop_points:.2f}",
            f"{effect.output_error:.2e}",
        )
    console = Console()
    Console(width=max(console.width, 110)).print(table)
