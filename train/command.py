"""Train a model and write a checkpoint that carries its contract and its measured accuracy.

The best epoch is chosen on a validation split and judged on the test split, both through the very pre-
and post-processing that the device will run. In the output folder: the checkpoint (.safetensors),
metrics.json, confusion_matrix.png, curves.png, run.json, and TensorBoard events in logs/.

Examples:
  edgewright train product --data fashion-mnist/
  edgewright train product --data photos/ --model resnet18 --pretrained --freeze last-blocks
  edgewright train product --data fashion-mnist/ --resume          after it was interrupted
  edgewright train product --data fashion-mnist/ --folds 5         cross-validation
  edgewright train product --help                                  every option
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import EdgewrightError, UsageError
from train.arguments import add_general_arguments, add_tasks
from train.tracking import add_tracking

if TYPE_CHECKING:
    from train.cross_validation import CrossValidation
    from train.loop import TrainResult
    from train.options import TrainOptions


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a sub-parser per task."""
    usage = "edgewright train {task} --data PATH [--out DIR] [--model NAME] [options]"
    for child, task in add_tasks(parser, usage, "Task {task}"):
        add_general_arguments(child, task)
        task.add_arguments(child)
        add_tracking(child)


def run(args: argparse.Namespace) -> int:
    """Train, and print what was measured."""
    options = _options(args)
    if options.folds is not None:
        from train.cross_validation import cross_validate

        if args.tracking is not None:
            raise UsageError("Option --tracking", got="it with --folds", expected="one run",
                             fix="Leave one of them out.")  # fmt: skip
        _print_folds(cross_validate(options, say=_say))
        return 0
    result = _train(options, args.tracking)
    if _is_first():
        _print_result(result)
    return 0


def _train(options: TrainOptions, tracking: str | None) -> TrainResult:
    from train.loop import train

    if tracking is None or not _is_first():
        return train(options, say=_say)
    from sdk.artifact import read_artifact
    from train.tracking import Tracker

    tracker = Tracker(tracking)
    with tracker.run(f"train {options.task}", options.to_json()) as tracked:
        alone = options.devices == 1 and os.environ.get("WORLD_SIZE", "1") == "1"
        result = train(options, say=_say, watch=tracked.epoch_so_far if alone else None)
        for entry in result.history:
            tracked.epoch(entry)
        tracked.metrics(result.metrics)
        version = tracked.artifact(read_artifact(result.checkpoint))
    _say(
        f"tracked: version {version} of {read_artifact(result.checkpoint).spec.name}, run {tracked.identity}"
    )
    return result


def _options(args: argparse.Namespace) -> TrainOptions:
    """What was asked for. Of several processes that torchrun started, the first one says what is wrong."""
    from train.options import make_options

    given = {key: value for key, value in vars(args).items() if key not in ("list_models", "tracking")}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    try:
        options = make_options(given.pop("task"), given.pop("data"), given.pop("out"), **given)
        if options.folds is not None and os.environ.get("WORLD_SIZE", "1") != "1":
            raise UsageError("Option --folds", got="it under torchrun", expected="one process",
                             fix="Use --devices for each fold's processes.")  # fmt: skip
    except EdgewrightError as error:
        if _is_first():
            raise
        raise SystemExit(error.exit_code) from error
    return options


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _say(line: str) -> None:
    print(line, flush=True)


def _print_result(result: TrainResult) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if result.report.rows:
        table = Table(header_style="bold")
        for at, column in enumerate(result.report.columns):
            table.add_column(column, justify="left" if at == 0 else "right")
        for row in result.report.rows:
            table.add_row(*row)
        console.print(table)
    for metric in result.metrics:
        chosen = " (which also chose the epoch)" if metric.split == "val" else ""
        console.print(
            f"{metric.name} {metric.text} on {metric.samples:,} {metric.split} samples{chosen}, "
            f"95 % interval {metric.interval}; epoch {result.best_epoch} was best",
            soft_wrap=True,
        )
    console.print(f"checkpoint: {_short(result.checkpoint)}", soft_wrap=True)
    console.print(f"next: edgewright export {_short(result.checkpoint)} --to onnx,pte", soft_wrap=True)


def _print_folds(found: CrossValidation) -> None:
    from rich.console import Console

    from train.fold_table import fold_table

    console = Console(highlight=False)
    console.print(fold_table(found))
    for spread in found.spreads:
        where = (
            "what each fold held out (which also chose its epoch)" if spread.split == "val" else "test data"
        )
        console.print(f"{spread.name} {spread.text} on {where}, {len(found.folds)} folds", soft_wrap=True)
    console.print(f"figures: {_short(found.out / 'folds.json')}", soft_wrap=True)


def _short(path: Path) -> Path:
    """Relative to where the person stands, where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
