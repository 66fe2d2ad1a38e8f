"""What one training run is told: frozen, checked, and stored in its ``run.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from runtimes import UsageError
from train.quantizer import WEIGHT_BITS

OPTIMIZERS = ("adamw", "sgd", "adam", "rmsprop")
SCHEDULERS = ("none", "step", "exponential", "cosine", "plateau", "cyclic", "one-cycle", "warmup-cosine")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")
DEVICES = ("auto", "cpu", "gpu")

SGD_MOMENTUM = 0.9
# These say how and where a run is carried out. They may change between its start and its resumption; that the
# data is the same is checked by its hash.
_OF_THE_MACHINE = ("data", "out", "resume", "overwrite", "threads", "num_workers", "device")


@dataclass(frozen=True)
class TrainOptions:
    """One run.

    Attributes:
        task: Such as ``product``.
        data: Where the task's data lies.
        out: Folder of the run.
        model: Name of the network's builder.
        epochs: Passes over the training data.
        batch_size: Items per forward pass.
        lr: Highest learning rate.
        optimizer: One of `OPTIMIZERS`.
        weight_decay: Of weights; biases and norms are spared.
        momentum: For ``sgd`` and ``rmsprop``; None is 0.9 for the one and 0 for the other.
        scheduler: One of `SCHEDULERS`.
        lr_step_epochs: Period of ``step``, ``exponential`` and ``cyclic`` in epochs.
        lr_gamma: Factor of ``step``, ``exponential`` and ``plateau``.
        warmup: Rising share of ``one-cycle`` and ``warmup-cosine``, 0..1.
        accumulate: Batches per optimiser step.
        clip_norm: Largest norm of all gradients together; None does not clip.
        clip_value: Largest absolute gradient; None does not clip.
        ema: Decay of the moving average of the weights that is judged and kept, 0..1; None keeps the weights
            themselves.
        precision: One of `PRECISIONS`. Validation always runs in 32 bit, as the device does.
        early_stopping: Epochs without a better validation metric before the run ends; None never.
        seed: Of everything that draws.
        threads: torch's threads; None leaves its own choice.
        num_workers: Processes that load data; None chooses by the data.
        device: One of `DEVICES`.
        devices: Processes that train together, one per GPU or all on the CPU; `batch_size` is that of each.
        local_batchnorm: Each of them normalises by its own part of the batch, not by all of it.
        resume: Continue the run in `out`.
        overwrite: Replace the run in `out`.
        start: Checkpoint whose spec and weights the run starts from; None starts from `model`.
        keep_zeros: Weights that are zero in `start` stay zero.
        teacher: Checkpoint whose answers are learned from as well; None learns from the labels alone.
        distill_temperature: Softens the answers of both.
        distill_weight: Of the teacher's answers in the loss, 0..1; the labels have the rest.
        feature_weight: Of the difference between both networks' attention maps.
        qat: Checkpoint to train on with the rounding of INT8 in the network; also the `start`.
        qat_granularity: Of weight scales while training with `qat`: ``per-channel`` or ``per-tensor``.
        qat_weight_bits: 8, or 4 or 3 for weights in 15 or 7 steps.
        folds: Into how many folds the data without the test split is divided; None leaves it as it is.
        fold: Which of them this run holds out, from 1; None for all of them in turn.
        task_options: The task's own frozen dataclass.
    """

    task: str
    data: Path
    out: Path
    model: str
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    weight_decay: float
    momentum: float | None
    scheduler: str
    lr_step_epochs: float
    lr_gamma: float
    warmup: float
    accumulate: int
    clip_norm: float | None
    clip_value: float | None
    ema: float | None
    precision: str
    early_stopping: int | None
    seed: int
    threads: int | None
    num_workers: int | None
    device: str
    devices: int
    local_batchnorm: bool
    resume: bool
    overwrite: bool
    start: Path | None
    keep_zeros: bool
    teacher: Path | None
    distill_temperature: float
    distill_weight: float
    feature_weight: float
    qat: Path | None
    qat_granularity: str
    qat_weight_bits: int
    folds: int | None
    fold: int | None
    task_options: Any

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            require(
                f"--{name}", getattr(self, name), getattr(self, name) in known, f"one of {', '.join(known)}"
            )
        for name, holds, expected in _RANGES:
            value = getattr(self, name)
            flag = f"--{name.replace('_', '-')}"
            require(flag, value, value is None or holds(value), expected)
        self._check_combinations()

    @property
    def whole_batch_size(self) -> int:
        """Items per batch of all processes together."""
        return self.batch_size * self.devices

    @property
    def effective_momentum(self) -> float:
        """`momentum`, or the optimiser's own default."""
        return self.momentum if self.momentum is not None else {"sgd": SGD_MOMENTUM}.get(self.optimizer, 0.0)

    def _check_combinations(self) -> None:
        if self.clip_norm is not None and self.clip_value is not None:
            raise wrong_pair("--clip-norm and --clip-value", "both", "one of them", "Leave one out.")
        if self.resume and self.overwrite:
            raise wrong_pair("--resume and --overwrite", "both", "one of them", "Leave one out.")
        if self.momentum is not None and self.optimizer not in ("sgd", "rmsprop"):
            raise wrong_pair(
                "--momentum",
                f"it with {self.optimizer}",
                "--optimizer sgd or rmsprop",
                "Leave it out: Adam has betas.",
            )
        if self.qat is not None and self.precision != "32":
            raise wrong_pair("--qat", f"it with --precision {self.precision}", "--precision 32",
                             "Leave --precision out: rounding is measured in 32 bit.")  # fmt: skip
        if self.qat is not None and self.ema is not None:
            raise wrong_pair("--qat and --ema", "both", "one of them", "Leave --ema out.")
        if self.qat is not None and self.feature_weight > 0:
            raise wrong_pair("--qat", "it with --feature-weight", "answers of the teacher alone",
                             "Leave --feature-weight out: the rounded graph has no stages.")  # fmt: skip
        if self.qat is not None and self.devices > 1:
            raise wrong_pair("--qat", f"it with --devices {self.devices}", "one process",
                             "Leave --devices out: ranges are measured in one.")  # fmt: skip
        if self.fold is not None and (self.folds is None or self.fold > self.folds):
            raise wrong_pair("fold", f"{self.fold} of {self.folds}", "one of the folds", "Say folds too.")
        if self.keep_zeros and self.start is None:
            raise wrong_pair("--keep-zeros", "it alone", "--from CHECKPOINT beside it", "Add it.")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data; paths are absolute."""
        tree = asdict(self)
        return {key: _plain(value) for key, value in tree.items()}


def first_difference(options: TrainOptions, recorded: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """The first option that would train another way than the recorded run: name, now, then.

    Options of the machine, such as threads, may differ. So may more epochs, where the schedule does not
    depend on how many there are.
    """
    now = _flat(options.to_json())
    # What a run was not told, because there was no such option yet, it did as is the default now.
    then = {**_DEFAULTS, **_flat(recorded)}
    for name in sorted(set(now) | set(then)):
        if name in _OF_THE_MACHINE or now.get(name) == then.get(name):
            continue
        extends = name == "epochs" and (now[name] or 0) > (then.get(name) or 0)
        if extends and options.scheduler not in ("cosine", "one-cycle", "warmup-cosine"):
            continue
        return name, now.get(name), then.get(name)
    return None


def shared_options(options: TrainOptions) -> dict[str, Any]:
    """What trains, as JSON data by name: all but the options of one machine."""
    return {name: value for name, value in _flat(options.to_json()).items() if name not in _OF_THE_MACHINE}


def make_options(task: str, data: Path | str, out: Path | str | None = None, **given: Any) -> TrainOptions:
    """Options for `train.loop.train`, with the task's defaults for what is not given.

    Args:
        task: Such as ``product``.
        data: Where its data lies.
        out: Folder of the run; None is ``runs/TASK``, or ``runs/TASK-folds``.
        **given: Any other field of `TrainOptions`, or of the task's own options. None counts as not given.

    Raises:
        UsageError: A value or a combination makes no sense.
    """
    from train.tasks import get_task

    worker = get_task(task)
    named = {key: value for key, value in given.items() if value is not None}
    own = {f.name for f in fields(worker.options_type)}
    task_options = worker.options_type(**{key: value for key, value in named.items() if key in own})
    general = {key: value for key, value in named.items() if key not in own}
    unknown = sorted(set(general) - {f.name for f in fields(TrainOptions)})
    if unknown:
        raise TypeError(f"no option {unknown[0]!r} for task {task!r}")
    general = _with_checkpoints(task, general)
    defaults = {**_DEFAULTS, **worker.defaults(general, task_options)}
    if "clip_value" in general:
        # One way of clipping that was asked for replaces the other, by which the task clips unasked.
        defaults["clip_norm"] = None
    options = TrainOptions(
        task=task,
        data=Path(data).resolve(),
        out=Path(out if out is not None else _default_out(task, general)).resolve(),
        task_options=task_options,
        **{**defaults, **general},
    )
    return worker.checked(options)


def _default_out(task: str, given: dict[str, Any]) -> Path:
    return Path("runs") / (f"{task}-folds" if given.get("folds") is not None else task)


def _with_checkpoints(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Options with absolute paths of start and teacher, and the start's network as `model`."""
    given = _with_qat(given)
    given = {**given, **{k: Path(given[k]).resolve() for k in ("start", "teacher", "qat") if k in given}}
    alone = [name for name in _OF_THE_TEACHER if name in given]
    if alone and "teacher" not in given:
        flag = f"--{alone[0].replace('_', '-')}"
        raise wrong_pair(flag, "it alone", "--teacher CHECKPOINT beside it", "Say who teaches.")
    if "start" not in given:
        return given
    if "model" in given:
        raise wrong_pair("--from and --model", "both", "one of them", "The checkpoint names its network.")
    from train.networks.names import base_name
    from train.start import read_checkpoint

    return {**given, "model": base_name(read_checkpoint(given["start"], "--from", task).spec.network)}


def _with_qat(given: dict[str, Any]) -> dict[str, Any]:
    """``qat`` is ``start`` and more."""
    if "qat" not in given:
        alone = [name for name in _OF_QAT if name in given]
        if alone:
            flag = f"--{alone[0].replace('_', '-')}"
            raise wrong_pair(flag, "it alone", "--qat CHECKPOINT beside it", "Say what to train on.")
        return given
    if "start" in given:
        raise wrong_pair("--qat and --from", "both", "one of them", "--qat starts from its checkpoint.")
    return {"epochs": _QAT_EPOCHS, **given, "start": given["qat"]}


def flag_of(name: str) -> str:
    """How a field is called on the command line: ``--lr-gamma`` for ``lr_gamma``."""
    return "--from" if name == "start" else f"--{name.replace('_', '-')}"


def require(option: str, value: object, holds: bool, expected: str) -> None:
    """Raise `UsageError` unless `holds`."""
    if not holds:
        raise UsageError(f"Option {option}", got=repr(value), expected=expected, fix="Correct the value.")


def summed(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in a sum such as ``cross-entropy+dice``.

    Raises:
        UsageError: One is not `known`, or stands there twice.
    """
    names = tuple(text.split("+"))
    holds = set(names) <= set(known) and len(set(names)) == len(names)
    require(option, text, holds, f"one of {', '.join(known)}, or several with + between them")
    return names


def wrong_pair(options: str, got: str, expected: str, fix: str) -> UsageError:
    """The error for options that contradict each other."""
    return UsageError(f"Options {options}" if " and " in options else f"Option {options}",
                      got=got, expected=expected, fix=fix)  # fmt: skip


_DEFAULTS: dict[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "momentum": None,
    "scheduler": "one-cycle",
    "lr_step_epochs": 5.0,
    "lr_gamma": 0.3,
    "warmup": 0.2,
    "accumulate": 1,
    "clip_norm": None,
    "clip_value": None,
    "ema": None,
    "precision": "32",
    "early_stopping": None,
    "seed": 0,
    "threads": None,
    "num_workers": None,
    "device": "auto",
    "devices": 1,
    "local_batchnorm": False,
    "resume": False,
    "overwrite": False,
    "start": None,
    "keep_zeros": False,
    "teacher": None,
    "distill_temperature": 4.0,
    "distill_weight": 0.7,
    "feature_weight": 0.0,
    "qat": None,
    "qat_granularity": "per-channel",
    "qat_weight_bits": 8,
    "folds": None,
    "fold": None,
}
"""What the task itself does not say."""

_OF_THE_TEACHER = ("distill_temperature", "distill_weight", "feature_weight")

_OF_QAT = ("qat_granularity", "qat_weight_bits")
_QAT_EPOCHS = 3
"""The weights only have to move to where rounding costs little."""

_CHOICES = {"optimizer": OPTIMIZERS, "scheduler": SCHEDULERS, "precision": PRECISIONS, "device": DEVICES}

_RANGES: tuple[tuple[str, Any, str], ...] = (
    ("epochs", lambda v: v >= 1, "at least 1"),
    ("batch_size", lambda v: v >= 1, "at least 1"),
    ("lr", lambda v: v > 0, "a positive number"),
    ("weight_decay", lambda v: v >= 0, "at least 0"),
    ("momentum", lambda v: 0 <= v < 1, "from 0 to below 1"),
    ("lr_step_epochs", lambda v: v > 0, "a positive number of epochs"),
    ("lr_gamma", lambda v: 0 < v < 1, "between 0 and 1"),
    ("warmup", lambda v: 0 < v < 1, "between 0 and 1"),
    ("accumulate", lambda v: v >= 1, "at least 1"),
    ("clip_norm", lambda v: v > 0, "a positive number"),
    ("clip_value", lambda v: v > 0, "a positive number"),
    ("ema", lambda v: 0 < v < 1, "between 0 and 1"),
    ("early_stopping", lambda v: v >= 1, "at least 1 epoch"),
    ("seed", lambda v: 0 <= v < 2**32, "from 0 to 4294967295"),
    ("threads", lambda v: v >= 1, "at least 1"),
    ("num_workers", lambda v: v >= 0, "at least 0"),
    ("devices", lambda v: v >= 1, "at least 1"),
    ("folds", lambda v: v >= 2, "at least 2"),
    ("fold", lambda v: v >= 1, "at least 1"),
    ("distill_temperature", lambda v: v > 0, "a positive number"),
    ("distill_weight", lambda v: 0 <= v <= 1, "from 0 to 1"),
    ("feature_weight", lambda v: v >= 0, "at least 0"),
    ("qat_granularity", lambda v: v in ("per-channel", "per-tensor"), "per-channel or per-tensor"),
    ("qat_weight_bits", lambda v: v in WEIGHT_BITS, "8, 4 or 3"),
)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Task options beside the others."""
    return {
        **{k: v for k, v in options.items() if k != "task_options"},
        **(options.get("task_options") or {}),
    }
