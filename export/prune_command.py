"""Prune a checkpoint and train it back to strength; the result is an ordinary checkpoint.

Patterns:
  channels   whole channels are removed: the network is smaller and faster in every runtime
  l1         the smallest weights become zero: a smaller compressed file, no gain in latency
  2:4        two of every four weights become zero, for TensorRT's sparse kernels on NVIDIA GPUs; no gain
             in ONNX Runtime or ExecuTorch

After every cut the network is trained for --epochs, and learns from the uncut checkpoint's answers as well
as from the labels. It is then measured on the test split, and the file says what was removed, what that
cost before and after, and which checkpoint it came from.

Half of the channels are about three quarters of the multiply-accumulates.

Examples:
  edgewright prune runs/product/product.safetensors --ratio 0.5
  edgewright prune runs/product/product.safetensors --ratio 0.75 --steps 3 --importance taylor
  edgewright prune runs/product/product.safetensors --ratio 0.5 --layer features.stem.0=0
  edgewright prune runs/product/product.safetensors --pattern 2:4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from runtimes import UsageError

PATTERNS = ("channels", "l1", "2:4")
DEFAULT_EPOCHS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors written by train")
    parser.add_argument(
        "--ratio", type=float, metavar="R", help="share of channels, or of weights, to remove: 0.5 is half"
    )
    parser.add_argument("--pattern", choices=PATTERNS, default="channels", help="default: channels")
    parser.add_argument(
        "--importance",
        choices=("magnitude", "taylor"),
        help="which channels go first: those with the smallest weights, or those that the loss feels least "
        "(weight times gradient). Default: magnitude",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=R",
        help="another ratio for one layer, and for those whose channels go with its; may be repeated",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=1,
        metavar="N",
        help="cut in N equal parts, recovering after each. Default: 1",
    )
    _add_recovery(parser.add_argument_group("recovery"))
    _add_files(parser.add_argument_group("files"))


def _add_recovery(group: Any) -> None:
    group.add_argument(
        "--epochs",
        type=int,
        default=DEFAULT_EPOCHS,
        metavar="N",
        help=f"of recovery after each step; 0 is none. Default: {DEFAULT_EPOCHS}",
    )
    group.add_argument("--lr", type=float, metavar="RATE", help="of recovery. Default: by the model")
    group.add_argument("--no-teacher", action="store_true", help="recover from the labels alone")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    group.add_argument("--threads", type=int, metavar="N", help="of torch. Default: its own choice")


def _add_files(group: Any) -> None:
    group.add_argument(
        "--data", type=Path, metavar="PATH", help="default: what the checkpoint was trained on"
    )
    group.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: beside the checkpoint, with what was done in its name",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the file if it is there already")


def run(args: argparse.Namespace) -> int:
    """Prune or sparsify, and print what it cost."""
    ratio, layer_ratios = _checked(args)
    out = args.out or _default_name(args)
    recovery = {
        "data": args.data,
        "epochs": args.epochs,
        "teacher": not args.no_teacher,
        "seed": args.seed,
        "lr": args.lr,
        "threads": args.threads,
        "say": _say,
        "overwrite": args.overwrite,
    }
    if args.pattern == "channels":
        from export.pruning import prune_checkpoint

        importance = args.importance or "magnitude"
        written = prune_checkpoint(
            args.checkpoint,
            ratio,
            out=out,
            importance=importance,
            layer_ratios=layer_ratios,
            steps=args.steps,
            **recovery,
        )
    else:
        from export.sparsity import sparsify_checkpoint

        pattern = "2:4" if args.pattern == "2:4" else ratio
        written = sparsify_checkpoint(args.checkpoint, pattern, out=out, steps=args.steps, **recovery)
    _print_result(args.checkpoint, written)
    return 0


def _checked(args: argparse.Namespace) -> tuple[float, dict[str, float]]:
    layer_ratios = dict(_layer_ratio(text) for text in args.layer)
    if args.pattern == "2:4" and args.ratio is not None:
        raise UsageError("Option --ratio", got="it with pattern 2:4", expected="one of them",
                         fix="The pattern removes exactly half: leave --ratio out.")  # fmt: skip
    if args.pattern != "channels":
        for option, value in (("--layer", layer_ratios), ("--importance", args.importance)):
            if value:
                raise UsageError(f"Option {option}", got=f"it with pattern {args.pattern}",
                                 expected="--pattern channels", fix="Leave it out.")  # fmt: skip
    if args.ratio is None and args.pattern != "2:4" and not layer_ratios:
        raise UsageError("Option --ratio", got="none", expected="the share to remove",
                         fix="Say --ratio 0.5 for half.")  # fmt: skip
    return args.ratio or 0.0, layer_ratios


def _layer_ratio(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError("Option --layer", got=repr(text), expected="NAME=R such as features.stem.0=0.25",
                         fix="Correct it.") from None  # fmt: skip


def _default_name(args: argparse.Namespace) -> Path:
    """Such as ``product_pruned50.safetensors``."""
    percent = f"{100 * (args.ratio or 0):g}".replace(".", "p")
    done = {"channels": f"pruned{percent}", "l1": f"sparse{percent}", "2:4": "sparse2of4"}[args.pattern]
    path: Path = args.checkpoint
    return path.with_name(f"{path.stem}_{done}.safetensors")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_result(before: Path, after: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from sdk.artifact import read_artifact

    evidence = read_artifact(after).manifest.evidence
    told = evidence.facts.get("pruning" if "sparsity" not in evidence.facts else "sparsity")
    table = Table(header_style="bold")
    for at, column in enumerate(("", before.name, after.name)):
        table.add_column(column, justify="left" if at == 0 else "right")
    for row in _rows(told):
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    metric = evidence.metrics[0]
    console.print(
        f"{metric.name} {metric.text} on {metric.samples:,} {metric.split} samples, 95 % interval "
        f"{metric.interval}",
        soft_wrap=True,
    )
    if "gain" in told:
        console.print(told["gain"], soft_wrap=True)
    console.print(f"checkpoint: {after}", soft_wrap=True)
    console.print(f"next: edgewright export {after} --to onnx,pte", soft_wrap=True)


def _rows(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    if "macs" in told:
        macs, parameters = told["macs"], told["parameters"]
        rows.append(
            ("multiply-accumulates", f"{macs[0]:,}", f"{macs[1]:,} ({1 - macs[1] / macs[0]:.1%} less)")
        )
        rows.append(
            (
                "parameters",
                f"{parameters[0]:,}",
                f"{parameters[1]:,} ({1 - parameters[1] / parameters[0]:.1%} less)",
            )
        )
    else:
        packed = told["compressed_bytes"]
        rows.append(("weights that are zero", "", f"{told['zeros']:.1%}"))
        rows.append(("bytes", *(f"{size:,}" for size in told["bytes"])))
        rows.append(("bytes, compressed", *(f"{size:,}" for size in packed)))
    from sdk.artifact.evidence import in_words

    name, unit = told["metric"], told["unit"]
    original = in_words(told["original"], unit)
    rows.append((f"{name} before recovery", original, in_words(told["before_recovery"], unit)))
    if told["recovery_epochs"]:
        rows.append((f"{name} after recovery", original, in_words(told["after_recovery"], unit)))
    return rows
