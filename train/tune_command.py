"""Search the training options that score best on validation data.

Trials of one study may be shared: start the same command several times, or on several machines with one
--storage, and each process takes the next trial. A trial whose process was killed is tried again by another.
The test split is never looked at to choose. In the output folder: a run folder for each trial, tune.json, and
tune.html with pictures.

Examples:
  edgewright tune product --data fashion-mnist/ --trials 30
  edgewright tune product --data shop/ --model resnet18 --epochs 5 --space lr=log:1e-4..1e-2 batch_size=16,32
  edgewright tune product --data shop/ --storage postgresql://host/studies --study shop     on every machine
  edgewright tune medical --data scans/ --folds 5 --pruner none
  edgewright tune product --help                                                            every option
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from train.arguments import add_general_arguments, add_tasks

if TYPE_CHECKING:
    from train.tune import Search, Tuned

ENGINES = ("here", "ray")
# As `train.tune_pruners.PRUNERS`; that module is not needed for help.
_PRUNERS = ("median", "hyperband", "none")
_TRIALS = 20
_INTERRUPTED = 130
_OF_THE_SEARCH = ("space", "trials", "storage", "study", "pruner", "timeout", "patience", "engine", "workers")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a sub-parser per task."""
    usage = "edgewright tune {task} --data PATH [--trials N] [--space NAME=RANGE …] [options]"
    for child, task in add_tasks(parser, usage, "Search options of task {task}"):
        _add_search(child.add_argument_group("the search"))
        add_general_arguments(child, task)
        task.add_arguments(child)


def _add_search(group: Any) -> None:
    group.add_argument(
        "--trials",
        type=int,
        default=_TRIALS,
        metavar="N",
        help=f"how many the study has in the end, earlier ones and those of other processes included. "
        f"Default: {_TRIALS}",
    )
    group.add_argument(
        "--space",
        nargs="+",
        default=(),
        metavar="NAME=RANGE",
        help="what is searched, in place of the task's own choice: lr=log:1e-4..1e-2, warmup=0.1..0.4, "
        "accumulate=1..4, batch_size=16,32, optimizer=adamw,sgd",
    )
    group.add_argument(
        "--storage",
        metavar="FILE|URL",
        help="where the study is kept: a file ending in .journal, an SQLite file, or a database such as "
        "postgresql://host/name. Default: study.journal in --out",
    )
    group.add_argument(
        "--study", metavar="NAME", help="several may share a storage. Default: the task's name"
    )
    group.add_argument(
        "--pruner",
        choices=_PRUNERS,
        default="median",
        help="ends trials early that fall behind; median: behind half of the others at the same epoch. "
        "Default: median",
    )
    group.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="begin no trial after that; what runs is finished. Default: none",
    )
    _add_workers(group)


def _add_workers(group: Any) -> None:
    group.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="take over a trial of another machine whose process was not heard of for so long; on this "
        "machine the system knows at once. Default: 60",
    )
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="here",
        help="ray: Ray Tune carries the trials out, on the cluster that it finds or on this machine. "
        "Default: here, in this process",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="trials at the same time with --engine ray. Default: Ray's own",
    )


def run(args: argparse.Namespace) -> int:
    """Search, and print the best trials and how to train so again."""
    _require_sane(args)
    search = _search(args)
    from train.tune import tune

    try:
        if args.engine == "ray":
            from train.tune_ray import tune_with_ray

            tuned = tune_with_ray(search, args.workers, _say)
        else:
            tuned = tune(search, _say)
    except KeyboardInterrupt:
        print(
            "edgewright: stopped. Finished trials are kept: give the same command again to go on.",
            file=sys.stderr,
        )
        return _INTERRUPTED
    _print(tuned)
    return 0


def _search(args: argparse.Namespace) -> Search:
    from train.tune import Search

    given = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in vars(args).items()
        if key not in (*_OF_THE_SEARCH, "task", "data", "out", "list_models", "command")
    }
    out = args.out if args.out is not None else Path("runs") / f"{args.task}-tune"
    return Search(
        task=args.task,
        data=args.data,
        out=out.resolve(),
        given=given,
        space=tuple(args.space),
        trials=args.trials,
        storage=args.storage,
        study=args.study,
        pruner=args.pruner,
        timeout_s=args.timeout,
        patience_s=args.patience,
    )


def _require_sane(args: argparse.Namespace) -> None:
    for option, value in (("--trials", args.trials), ("--workers", args.workers)):
        if value is not None and value < 1:
            raise UsageError(f"Option {option}", got=str(value), expected="at least 1", fix="Correct it.")
    for option, value in (("--timeout", args.timeout), ("--patience", args.patience)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"Option {option}", got=f"{value:g}", expected="more than 0", fix="Correct it.")
    if args.workers is not None and args.engine != "ray":
        raise UsageError("Option --workers", got="it without --engine ray", expected="one process",
                         fix="Start the command several times, or say --engine ray.")  # fmt: skip


def _say(line: str) -> None:
    print(line, flush=True)


def _print(tuned: Tuned) -> None:
    from rich.console import Console

    from train.tune_table import tune_table

    console = Console(highlight=False)
    console.print(tune_table(tuned))
    print(f"report: {tuned.out / 'tune.html'}")
    if tuned.best is None:
        print("no trial has run to its end")
        return
    print(f"{tuned.metric} {tuned.best.value:.4f} on validation data, trial {tuned.best.number + 1}; "
          "it chose the trial, so judge it on the test split")  # fmt: skip
    if tuned.checkpoint is not None:
        print(f"checkpoint: {tuned.checkpoint}")
    print(f"to train so again: {tuned.command}")
