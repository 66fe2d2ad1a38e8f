"""Command-line options that every task has. Defaults live in `train.options`; here None is not given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from train.networks.names import DERIVED
from train.options import DEVICES, OPTIMIZERS, PRECISIONS, SCHEDULERS
from train.quantizer import WEIGHT_BITS
from train.tasks import TASKS, get_task
from train.tasks.base import Task

NETWORKS = "edgewright.networks"


def add_tasks(
    parser: argparse.ArgumentParser, usage: str, description: str
) -> Iterator[tuple[argparse.ArgumentParser, Task]]:
    """Add a sub-parser per task, for the caller to fill.

    Args:
        parser: Of the command.
        usage: With ``{task}`` where the task's name belongs.
        description: With ``{task}``; what the task does is added.
    """
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True, title="tasks")
    for name in TASKS:
        task = get_task(name)
        child = tasks.add_parser(
            name,
            help=task.summary,
            usage=usage.format(task=name),
            description=f"{description.format(task=name)}: {task.summary}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        yield child, task


def add_general_arguments(parser: argparse.ArgumentParser, task: Task) -> None:
    """Add all options but the task's own."""
    parser.add_argument("--data", required=True, type=Path, metavar="PATH", help=task.data_help)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder of the run. Default: runs/{task.name}, with --folds runs/{task.name}-folds",
    )
    parser.add_argument(
        "--model",
        choices=_networks(),
        metavar="NAME",
        help=f"network; --list-models names them. Default: {task.models[0]}",
    )
    parser.add_argument("--list-models", action=_ListModels, nargs=0, help="name the networks, and exit")
    _add_run(parser.add_argument_group("the run"))
    _add_steps(parser.add_argument_group("optimisation"))
    _add_schedule(parser.add_argument_group("learning-rate schedule"))
    _add_checkpoints(parser.add_argument_group("other checkpoints"))
    _add_qat(parser.add_argument_group("quantisation-aware training"))
    _add_machine(parser.add_argument_group("the machine"))


def _add_run(group: Any) -> None:
    group.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the training data. Default: by the model"
    )
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="samples per forward pass. Default: by the model"
    )
    group.add_argument(
        "--early-stopping",
        type=int,
        metavar="N",
        help="end after N epochs without a better validation metric",
    )
    group.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validation: K runs, each of which holds out another part of the data without the test "
        "split. Classes are divided alike, patients are kept together, series are cut in time",
    )
    group.add_argument("--seed", type=int, metavar="N", help="two runs with one seed are equal. Default: 0")
    group.add_argument(
        "--resume",
        action="store_true",
        default=None,
        help="continue the run in --out after its last complete epoch, with the same options",
    )
    group.add_argument("--overwrite", action="store_true", default=None, help="replace the run in --out")


def _add_steps(group: Any) -> None:
    group.add_argument("--optimizer", choices=OPTIMIZERS, help="default: adamw")
    group.add_argument(
        "--lr", type=float, metavar="RATE", help="highest learning rate. Default: by the model"
    )
    group.add_argument(
        "--weight-decay", type=float, metavar="X", help="of weights, not of norms. Default: 0.01"
    )
    group.add_argument("--momentum", type=float, metavar="X", help="of sgd (0.9) and rmsprop (0)")
    group.add_argument("--accumulate", type=int, metavar="N", help="batches per optimiser step. Default: 1")
    group.add_argument("--clip-norm", type=float, metavar="X", help="largest norm of all gradients together")
    group.add_argument("--clip-value", type=float, metavar="X", help="largest absolute value of a gradient")
    group.add_argument(
        "--ema",
        type=float,
        metavar="DECAY",
        help="judge and keep a moving average of the weights, such as 0.999: calmer on small sets",
    )


def _add_schedule(group: Any) -> None:
    group.add_argument("--scheduler", choices=SCHEDULERS, help="default: one-cycle")
    group.add_argument(
        "--lr-step-epochs", type=float, metavar="N", help="period of step, exponential and cyclic. Default: 5"
    )
    group.add_argument(
        "--lr-gamma", type=float, metavar="X", help="factor of step, exponential and plateau. Default: 0.3"
    )
    group.add_argument(
        "--warmup",
        type=float,
        metavar="SHARE",
        help="rising share of one-cycle and warmup-cosine. Default: 0.2",
    )


def _add_checkpoints(group: Any) -> None:
    group.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="CHECKPOINT",
        help="start from its weights, with its network, classes and preprocessing",
    )
    group.add_argument(
        "--keep-zeros",
        action="store_true",
        default=None,
        help="weights that are zero in the --from checkpoint stay zero",
    )
    group.add_argument(
        "--teacher",
        type=Path,
        metavar="CHECKPOINT",
        help="learn from its answers as well as from the labels (distillation)",
    )
    group.add_argument(
        "--distill-temperature", type=float, metavar="T", help="softens both answers. Default: 4"
    )
    group.add_argument(
        "--distill-weight", type=float, metavar="X", help="of the teacher's answers, 0 to 1. Default: 0.7"
    )
    group.add_argument(
        "--feature-weight",
        type=float,
        metavar="X",
        help="of the difference between where the stages of both look (attention transfer). Default: 0",
    )


def _add_qat(group: Any) -> None:
    group.add_argument(
        "--qat",
        type=Path,
        metavar="CHECKPOINT",
        help="train on from it, as --from does, with the rounding of INT8 in the network, so that its int8 "
        "exports lose less. What is written is an ordinary checkpoint",
    )
    group.add_argument(
        "--qat-granularity",
        choices=("per-channel", "per-tensor"),
        help="of weight scales; the one that will be exported. Default: per-channel",
    )
    group.add_argument(
        "--qat-weight-bits",
        type=int,
        choices=WEIGHT_BITS,
        help="4 and 3 train for weights in 15 and 7 steps. Default: 8",
    )


def _add_machine(group: Any) -> None:
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of training; validation always runs in 32 bit, as the device does. Default: 32",
    )
    group.add_argument("--device", choices=DEVICES, help="default: auto, a GPU where there is one")
    group.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="processes that train together, one per GPU, or all on the CPU: like one with N times the batch "
        "size. Over several machines: torchrun. Default: 1",
    )
    group.add_argument(
        "--local-batchnorm",
        action="store_true",
        default=None,
        help="with --devices, normalise each process's part of a batch alone: faster, not quite the same",
    )
    group.add_argument(
        "--threads", type=int, metavar="N", help="of torch, per process. Default: its own choice"
    )
    group.add_argument(
        "--num-workers",
        type=int,
        metavar="N",
        help="processes that load data. Default: none for data in memory",
    )


class _ListModels(argparse.Action):
    """Print the networks and exit, as ``--help`` does; nothing else needs to be given."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        sys.stdout.write("".join(f"{name}\n" for name in _networks()))
        parser.exit()


def _networks() -> list[str]:
    return sorted(entry.name for entry in entry_points(group=NETWORKS) if entry.name not in DERIVED)
