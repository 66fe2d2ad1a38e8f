"""Search the smallest and fastest artifacts that stay within a budget.

Precision, pruning and recovery by distillation are explored; every candidate is measured on validation data
in the target's own runtime on this machine, and the chosen ones are proved on the test split, which the
search does not see. The folder holds the study (study.db), the Pareto set (pareto.json, pareto.png) and the
chosen artifacts. A search that was stopped or killed goes on when the same command is given again; another
budget chooses anew from the trials that are there.

With the same seed the same candidates are tried, with the same accuracies and sizes; latencies are measured.

Examples:
  edgewright compress runs/product/product.safetensors --data fashion-mnist/ --to onnx,pte
  edgewright compress product.safetensors --data pictures/ --to onnx --max-drop 1 --timeout 900
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import UsageError

if TYPE_CHECKING:
    from export.compress import Found, Search

_TRIALS = 12
_INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors written by train")
    parser.add_argument("--data", required=True, metavar="PATH", type=Path, help="data with a test split")
    parser.add_argument("--to", required=True, metavar="TARGETS", help="comma-separated: onnx,pte,trt")
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="largest loss of accuracy in points; default: 0.5",
    )
    parser.add_argument(
        "--max-latency-ms", type=float, metavar="MS", help="of one prediction on this machine; default: any"
    )
    parser.add_argument("--max-size-mb", type=float, metavar="MB", help="of one artifact; default: any")
    parser.add_argument(
        "--trials",
        type=int,
        default=_TRIALS,
        metavar="N",
        help=f"candidates in all, earlier runs included; default: {_TRIALS}",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="begin no trial after that; what runs is finished, and the choice is proved; default: none",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="default: `compress` in the checkpoint's folder"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace artifacts that are there, and a study of something else",
    )


def run(args: argparse.Namespace) -> int:
    """Search, and print the Pareto sets and what was chosen."""
    _require_sane(args)
    from export.compress import Search, compress
    from export.compress_choice import Limits
    from export.compress_progress import search_progress

    size = None if args.max_size_mb is None else round(1e6 * args.max_size_mb)
    search = Search(
        checkpoint=args.checkpoint,
        data=args.data,
        targets=_targets(args.to),
        limits=Limits(args.max_drop, args.max_latency_ms, size),
        out=args.out if args.out is not None else args.checkpoint.parent / "compress",
        trials=args.trials,
        timeout_s=args.timeout,
        seed=args.seed,
        overwrite=args.overwrite,
    )
    try:
        with search_progress() as progress:
            found = compress(search, progress)
    except KeyboardInterrupt:
        print(
            f"edgewright: stopped. Finished trials are kept in {str(search.out)!r}: "
            "give the same command again to go on.",
            file=sys.stderr,
        )
        return _INTERRUPTED
    _print(found, search)
    return 0


def _require_sane(args: argparse.Namespace) -> None:
    for option, value, least in (
        ("--max-drop", args.max_drop, 0),
        ("--trials", args.trials, 1),
        ("--seed", args.seed, 0),
    ):
        if not value >= least:
            raise UsageError(
                f"Option {option}", got=f"{value:g}", expected=f"at least {least}", fix="Correct it."
            )
    for option, value in (
        ("--max-latency-ms", args.max_latency_ms),
        ("--max-size-mb", args.max_size_mb),
        ("--timeout", args.timeout),
    ):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"Option {option}", got=f"{value:g}", expected="more than 0", fix="Correct it.")


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(dict.fromkeys(target.strip() for target in text.split(",") if target.strip()))
    if not targets:
        raise UsageError("Option --to", got="no target", expected="at least one", fix="Say --to onnx.")
    return targets


def _print(found: Found, search: Search) -> None:
    from rich.console import Console

    from export.gate import gain_in_words
    from export.pareto import pareto_table

    console = Console()
    console = Console(width=max(console.width, 110))
    for target, (trial, _) in found.artifacts.items():
        console.print(pareto_table(found.trials, target, trial.number))
    for trial, artifact in found.artifacts.values():
        metric = artifact.manifest.evidence.metrics[0]
        gain = gain_in_words(artifact.manifest.evidence.facts)
        print(
            f"{artifact.path}: {trial.candidate.label}, {metric.name} {metric.text} on {metric.split} "
            f"({metric.samples:,} samples), {artifact.size_bytes / 1e6:.2f} MB"
            + (f", {gain}" if gain else "")
        )
    print(f"Pareto set: {search.out / 'pareto.json'}, {search.out / 'pareto.png'}")
