"""The one training loop. It knows nothing of any task: Lightning runs it, the task supplies the parts."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from runtimes import DeviceError, UsageError
from sdk.artifact import Metric
from train.callbacks import EpochCheckpoint, History, ResumableEarlyStopping
from train.checkpoint_io import SafetensorsCheckpointIO
from train.distillation import with_teacher
from train.finish import finish_run
from train.keep_zeros import KeepZeros
from train.module import TaskModule
from train.options import TrainOptions
from train.plan import Plan
from train.progress import epoch_line, progress_callbacks
from train.qat import with_quantisation
from train.run import Run
from train.run_folder import RunFolder
from train.tasks import get_task
from train.tasks.base import Report

_PRECISIONS = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
_LOG_EVERY_STEPS = 50

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        checkpoint: The artifact of the best epoch.
        metrics: What it scores on the test split, or on the validation split where there is no other.
        report: What the task says beyond them.
        history: An entry per epoch: ``epoch`` from 1, ``train_loss``, ``val_loss``, ``val_`` and the
            metric's name, ``lr``, ``seconds``.
        best_epoch: Whose weights the checkpoint holds, from 1.
    """

    checkpoint: Path
    metrics: tuple[Metric, ...]
    report: Report
    history: list[dict[str, Any]]
    best_epoch: int


def train(options: TrainOptions, say: Say | None = None, *, bar: bool = True) -> TrainResult:
    """Train, choose the best epoch on the validation split, judge it, and write the checkpoint.

    Args:
        options: See `train.options.make_options`.
        say: Takes lines for a person; None trains silently, without a progress bar.
        bar: On a terminal, draw a progress bar in place of a line per epoch.

    Raises:
        UsageError: Options that cannot be honoured, or a folder that must not be written to.
        DataError: Data that cannot be trained on.
        DeviceError: The GPU that was asked for is not there.
    """
    folder = RunFolder(options.out)
    folder.require_free(options)
    accelerator = _accelerator(options)
    task = get_task(options.task)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    lightning.seed_everything(options.seed, verbose=False)
    run = Run(task, options, folder, with_teacher(with_quantisation(task.plan(options), options), options))
    folder.begin(options, run.data_sha256)
    if say is not None:
        say(_describe(run))
    with _quiet_lightning():
        history, best = _fit(run, accelerator, say, bar and say is not None)
    done = finish_run(run, history.entries, best.best_epoch)
    return TrainResult(done.artifact.path, done.metrics, done.report, history.entries, best.best_epoch)


def _fit(run: Run, accelerator: str, say: Say | None, bar: bool) -> tuple[History, EpochCheckpoint]:
    options, folder, metric = run.options, run.folder, run.task.metric
    bars = progress_callbacks(bar)
    history = History(None if bars or say is None else lambda e: say(epoch_line(e, options.epochs, metric)))
    best = EpochCheckpoint(folder.best, folder.last, f"val_{metric}", run.task.mode)
    module = (run.plan.module or TaskModule)(run.task, run.plan, options, _num_workers(run.plan, options))
    trainer = _trainer(run, accelerator, [*_keep_zeros(run), history, *_early_stopping(run), best, *bars])
    resumable = options.resume and folder.last.is_file()
    if options.resume and not resumable and say is not None:
        say("no epoch of this run was finished: it starts from the beginning")
    try:
        trainer.fit(module, ckpt_path=folder.last if resumable else None)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit of its own; the command has one answer to it.
        raise KeyboardInterrupt from stop
    return history, best


def _trainer(run: Run, accelerator: str, callbacks: list[Callback]) -> lightning.Trainer:
    options, folder = run.options, run.folder
    batches = len(run.plan.train_set) // options.batch_size
    return lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=options.epochs,
        precision=_PRECISIONS[options.precision],  # type: ignore[arg-type]
        accumulate_grad_batches=options.accumulate,
        gradient_clip_val=options.clip_norm if options.clip_norm is not None else options.clip_value,
        gradient_clip_algorithm="value" if options.clip_value is not None else "norm",
        callbacks=callbacks,
        logger=TensorBoardLogger(folder.root, name="", version=folder.logs.name),
        plugins=[SafetensorsCheckpointIO()],
        deterministic=True,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(_LOG_EVERY_STEPS, batches)),
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        default_root_dir=folder.root,
    )


def _early_stopping(run: Run) -> list[Callback]:
    patience = run.options.early_stopping
    if patience is None:
        return []
    return [ResumableEarlyStopping(f"val_{run.task.metric}", mode=run.task.mode, patience=patience)]


def _keep_zeros(run: Run) -> list[Callback]:
    return [KeepZeros(run.plan.network)] if run.options.keep_zeros else []


def _num_workers(plan: Plan, options: TrainOptions) -> int:
    if options.num_workers is not None:
        return options.num_workers
    return 0 if plan.train_set.in_memory else min(4, max(0, (os.cpu_count() or 1) - 1))


def _accelerator(options: TrainOptions) -> str:
    has_gpu = torch.cuda.is_available()
    if options.device == "gpu" and not has_gpu:
        raise DeviceError("Option --device", got="gpu", expected="an NVIDIA GPU that torch sees",
                          fix="Use --device cpu.")  # fmt: skip
    accelerator = "cpu" if options.device == "cpu" or not has_gpu else "gpu"
    if options.precision == "16-mixed" and accelerator == "cpu":
        raise UsageError("Option --precision", got="16-mixed on a CPU", expected="32 or bf16-mixed",
                         fix="Use --precision bf16-mixed, or a GPU.")  # fmt: skip
    return accelerator


def _describe(run: Run) -> str:
    network = run.plan.network
    weights = sum(parameter.numel() for parameter in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    share = "" if trained == weights else f" ({trained:,} of them trained)"
    parts = ", ".join(f"{len(split):,} {name}" for name, split in run.splits.items())
    told = run.options
    return (
        f"{run.task.name}: {parts}; {told.model} with {weights:,} weights{share}; "
        f"{told.epochs} epochs, batches of {told.batch_size}, learning rate {told.lr:g}"
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence what Lightning says about itself; warnings about the run get through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # The number of workers is chosen by the data (`_num_workers`); small sets train faster without.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # The folder was checked by `RunFolder.require_free`.
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        # Lightning 2.6 uses a class that torch 2.14 deprecates; remove when Lightning does not.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
        # Frozen stages keep their batch statistics (`TaskModule.on_train_epoch_start`), on purpose.
        warnings.filterwarnings("ignore", message=".*module.*eval mode at the start of training.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
