"""The one training loop. It knows nothing of any task: Lightning runs it, the task supplies the parts."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from runtimes import DataError, DeviceError, UsageError
from sdk.artifact import Metric
from train.callbacks import EpochCheckpoint, EpochWatch, History, ResumableEarlyStopping
from train.checkpoint_io import SafetensorsCheckpointIO
from train.distillation import with_teacher
from train.distributed import KnownEnvironment, World, joined
from train.finish import finish_run
from train.folds import task_for
from train.keep_zeros import KeepZeros
from train.module import TaskModule
from train.options import TrainOptions
from train.plan import Plan
from train.processes import run_in_processes
from train.progress import epoch_line, progress_callbacks
from train.qat import with_quantisation
from train.run import Run
from train.run_folder import RunFolder
from train.synchronised_norm import SynchronisedNorms
from train.tasks.base import Report

_PRECISIONS = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
_LOG_EVERY_STEPS = 50
_INTERRUPTED = 130

Say = Callable[[str], None]
Watch = Callable[[dict[str, Any]], None]


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


def train(
    options: TrainOptions, say: Say | None = None, *, bar: bool = True, watch: Watch | None = None
) -> TrainResult:
    """Train, choose the best epoch on the validation split, judge it, and write the checkpoint.

    Args:
        options: See `train.options.make_options`.
        say: Takes lines for a person; None trains silently, without a progress bar.
        bar: On a terminal, draw a progress bar in place of a line per epoch.
        watch: Called with every epoch's entry in the history, once its checkpoint is written; what it raises
            ends the run. Only for a run in a single process.

    Raises:
        UsageError: Options that cannot be honoured, or a folder that must not be written to.
        DataError: Data that cannot be trained on.
        DeviceError: The GPU that was asked for is not there, or one of several processes was killed.
    """
    world = World.of_environment()
    many = max(world.size, options.devices)
    if watch is not None and many > 1:
        raise UsageError("Option --devices", got=f"{many} in a search", expected="one process per trial",
                         fix="Leave it out; several searches may share a study.")  # fmt: skip
    if world.size == 1 and options.devices > 1:
        RunFolder(options.out).require_free(options)
        _accelerator(options)
        return _train_in_processes(options, say, bar)
    if world.size > 1:
        options = _as_many_as(world, options)
    try:
        with joined(world, _accelerator(options)):
            return _train(options, world, say if world.is_first else None, bar, watch)
    except KeyboardInterrupt:
        if world.is_first:
            raise
        raise SystemExit(_INTERRUPTED) from None


def _train_in_processes(options: TrainOptions, say: Say | None, bar: bool) -> TrainResult:
    try:
        result: TrainResult = run_in_processes(options.devices, _train_process, (options, bar), say)
    finally:
        RunFolder(options.out).sweep()
    return result


def _train_process(options: TrainOptions, bar: bool, say: Say | None) -> TrainResult:
    """What each of several processes does; at the top of the module, so that they find it."""
    return train(options, say, bar=bar)


def _train(
    options: TrainOptions, world: World, say: Say | None, bar: bool, watch: Watch | None = None
) -> TrainResult:
    """One process's share of the run: all of it where it is alone."""
    folder = RunFolder(options.out)
    world.by_first(lambda: folder.require_free(options))
    accelerator = _accelerator(options)
    threads = options.threads
    if threads is None and world.local_size > 1:
        threads = max(1, (os.cpu_count() or 1) // world.local_size)
    if threads is not None:
        torch.set_num_threads(threads)
    run = world.together(lambda: _make_run(options, folder, world))
    world.by_first(lambda: folder.begin(options, run.data_sha256))
    if say is not None:
        say(_describe(run))
    with _quiet_lightning():
        history, best = _fit(run, world, accelerator, say, bar=bar and say is not None, watch=watch)
    return world.by_first(lambda: _finish(run, history, best))


def _make_run(options: TrainOptions, folder: RunFolder, world: World) -> Run:
    task = task_for(options)
    lightning.seed_everything(options.seed, verbose=False)
    plan = with_teacher(with_quantisation(task.plan(options), options), options)
    if len(plan.train_set) < world.size:
        raise DataError(
            f"Data {options.data.name!r}",
            got=f"{len(plan.train_set)} items to train on",
            expected=f"at least one for each of {world.size} processes",
            fix="Use fewer --devices.",
        )
    return Run(task, options, folder, plan)


def _finish(run: Run, history: History, best: EpochCheckpoint) -> TrainResult:
    done = finish_run(run, history.entries, best.best_epoch)
    return TrainResult(done.artifact.path, done.metrics, done.report, history.entries, best.best_epoch)


def _as_many_as(world: World, options: TrainOptions) -> TrainOptions:
    """The options of a process that torchrun started: how many there are was said there."""
    if options.devices not in (1, world.size):
        raise UsageError(
            "Option --devices",
            got=str(options.devices),
            expected=f"the {world.size} processes of torchrun",
            fix="Leave it out under torchrun.",
        )
    return replace(options, devices=world.size)


def _fit(
    run: Run, world: World, accelerator: str, say: Say | None, *, bar: bool, watch: Watch | None
) -> tuple[History, EpochCheckpoint]:
    options, folder, metric = run.options, run.folder, run.task.metric
    bars = progress_callbacks(bar)
    history = History(None if bars or say is None else lambda e: say(epoch_line(e, options.epochs, metric)))
    best = EpochCheckpoint(folder.best, folder.last, f"val_{metric}", run.task.mode)
    workers = _num_workers(run.plan, options, world)
    module = (run.plan.module or TaskModule)(run.task, run.plan, options, workers)
    watching = [] if watch is None else [EpochWatch(history, watch)]
    callbacks = [*_keep_zeros(run), history, *_early_stopping(run), best, *bars, *watching]
    trainer = _trainer(run, world, accelerator, callbacks, steps=module.automatic_optimization)
    resumable = options.resume and world.by_first(folder.last.is_file)
    if options.resume and not resumable and say is not None:
        say("no epoch of this run was finished: it starts from the beginning")
    try:
        trainer.fit(module, ckpt_path=folder.last if resumable else None)
    except SystemExit as stop:
        # Lightning turns Ctrl-C into an exit of its own; the command has one answer to it.
        raise KeyboardInterrupt from stop
    return history, best


def _trainer(
    run: Run, world: World, accelerator: str, callbacks: list[Callback], *, steps: bool
) -> lightning.Trainer:
    """Lightning's trainer; where `steps` is off, the module accumulates and clips for itself."""
    options, folder = run.options, run.folder
    batches = len(run.plan.train_set) // (options.batch_size * world.size)
    return lightning.Trainer(
        accelerator=accelerator,
        devices=world.local_size,
        num_nodes=world.nodes,
        strategy="auto" if world.size == 1 else DDPStrategy(find_unused_parameters=True),
        max_epochs=options.epochs,
        precision=_PRECISIONS[options.precision],  # type: ignore[arg-type]
        accumulate_grad_batches=options.accumulate if steps else 1,
        gradient_clip_val=(options.clip_norm or options.clip_value) if steps else None,
        gradient_clip_algorithm="value" if options.clip_value is not None else "norm",
        callbacks=callbacks,
        logger=TensorBoardLogger(folder.root, name="", version=folder.logs.name),
        plugins=[SafetensorsCheckpointIO(), *_for_several(options, world, accelerator)],
        deterministic=True,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=max(1, min(_LOG_EVERY_STEPS, batches)),
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        default_root_dir=folder.root,
    )


def _for_several(options: TrainOptions, world: World, accelerator: str) -> list[Any]:
    """Lightning's plugins where several processes train together."""
    if world.size == 1:
        return []
    norms = [] if options.local_batchnorm else [SynchronisedNorms(accelerator)]
    return [KnownEnvironment(), *norms]


def _early_stopping(run: Run) -> list[Callback]:
    patience = run.options.early_stopping
    if patience is None:
        return []
    return [ResumableEarlyStopping(f"val_{run.task.metric}", mode=run.task.mode, patience=patience)]


def _keep_zeros(run: Run) -> list[Callback]:
    return [KeepZeros(run.plan.network)] if run.options.keep_zeros else []


def _num_workers(plan: Plan, options: TrainOptions, world: World) -> int:
    if options.num_workers is not None:
        return options.num_workers
    free = (os.cpu_count() or 1) // world.local_size - 1
    return 0 if plan.train_set.in_memory else min(4, max(0, free))


def _accelerator(options: TrainOptions) -> str:
    has_gpu = torch.cuda.is_available()
    if options.device == "gpu" and not has_gpu:
        raise DeviceError("Option --device", got="gpu", expected="an NVIDIA GPU that torch sees",
                          fix="Use --device cpu.")  # fmt: skip
    accelerator = "cpu" if options.device == "cpu" or not has_gpu else "gpu"
    here = World.of_environment().local_size
    needed = options.devices if here == 1 else here
    if accelerator == "gpu" and needed > torch.cuda.device_count():
        raise DeviceError("Option --devices", got=str(needed),
                          expected=f"at most the {torch.cuda.device_count()} GPUs of this machine",
                          fix="Use fewer, or --device cpu.")  # fmt: skip
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
    together = "" if told.devices == 1 else f" in each of {told.devices} processes"
    return (
        f"{run.task.name}: {parts}; {told.model} with {weights:,} weights{share}; "
        f"{told.epochs} epochs, batches of {told.batch_size}{together}, learning rate {told.lr:g}"
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
        # Asked for on purpose: networks may have weights that a batch does not use.
        warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")
        # Gradients of convolutions with a side of one come in either memory layout; the numbers are the same.
        warnings.filterwarnings("ignore", message=".*Grad strides do not match bucket view strides.*")
        # Frozen stages keep their batch statistics (`TaskModule.on_train_epoch_start`), on purpose.
        warnings.filterwarnings("ignore", message=".*module.*eval mode at the start of training.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
