"""Change a checkpoint's network, train it back to strength, and keep what each round measured.

What pruning and sparsifying share: every change is written as a whole checkpoint into a work folder and
measured through the spec, recovery is an ordinary training run that starts from that checkpoint and learns
from the original one, and only the end result gets the name that was asked for.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.prove import measure
from export.run_data import data_of_run
from runtimes import UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import Artifact, Metric, read_artifact, write_artifact
from sdk.artifact.provenance import now_utc
from sdk.golden import make_golden_samples
from sdk.spec import Network
from train.batches import outputs_of_items
from train.callbacks import weights_bytes
from train.networks.names import base_name
from train.options import require
from train.plan import Plan
from train.sampling import Draw
from train.start import read_checkpoint
from train.tasks import task_of
from train.tasks.base import Split, Task

FEW_BATCHES, BATCH_SIZE = 16, 128
"""Training pictures that judge channels and re-estimate statistics. Molchanov et al. 2019 see the order of
channels settle within some ten batches."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class RecoveryOptions:
    """How a changed network is trained back to strength.

    Attributes:
        data: Where the task's data lies; None is what the checkpoint was trained on.
        epochs: After every change; 0 leaves the network as it was cut.
        teacher: Learn from the original checkpoint's answers as well as from the labels, where answers of
            its kind can be learned from.
        seed: Of everything that draws.
        lr: Highest learning rate; None is the task's choice: that of a fresh network after pruning, that of
            a start from a checkpoint after sparsifying.
        threads: Of torch; None leaves its setting.
        say: Takes lines for a person; None is silent.
        bar: On a terminal, draw a progress bar in place of a line per epoch.
        work: Folder for the training runs, kept; None is a temporary one, removed.
        overwrite: Replace a checkpoint that is there already.
    """

    data: Path | None = None
    epochs: int = 3
    teacher: bool = True
    seed: int = 0
    lr: float | None = None
    threads: int | None = None
    say: Say | None = None
    bar: bool = True
    work: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        require("--threads", self.threads, self.threads is None or self.threads >= 1, "at least 1")
        if self.epochs < 0:
            raise UsageError(
                "Option --epochs", got=str(self.epochs), expected="at least 0", fix="Correct it."
            )


class Recovery:
    """One checkpoint on its way through changes and training.

    Args:
        source: The original checkpoint, which is also the teacher.
        options: See `RecoveryOptions`.
        folder: Where the rounds lie.
    """

    def __init__(self, source: Artifact, options: RecoveryOptions, folder: Path) -> None:
        self.source = source
        self.task: Task = task_of(source)
        self.data = options.data if options.data is not None else data_of_run(source.path)
        self.proof: Split = self.task.load_split(self.data, self.task.proof_split(self.data), source.spec)
        self.proof.require_truth(self.data, "pruning")
        self._options = options
        self._folder = folder

    def say(self, line: str) -> None:
        """Tell the person, if there is one."""
        if self._options.say is not None:
            self._options.say(line)

    @cached_property
    def plan(self) -> Plan:
        """The original checkpoint's training data and loss."""
        from train.options import make_options

        return self.task.plan(make_options(self.task.name, self.data, start=self.source.path))

    @cached_property
    def batches(self) -> list[Any]:
        """A few training batches, spread over the whole split, without augmentation by chance alone."""
        train_set = self.plan.train_set
        count = min(len(train_set), FEW_BATCHES * BATCH_SIZE)
        # Unshuffled sets are sorted by class as often as not: every batch takes strides through all of it.
        rows = [at * len(train_set) // count for at in range(count)]
        parts = max(1, count // BATCH_SIZE)
        return [
            train_set.collate([train_set[Draw(row, row)] for row in rows[at::parts]]) for at in range(parts)
        ]

    def write(self, network: nn.Module, description: Network, round_number: int) -> Artifact:
        """A changed network as a whole checkpoint, measured on the proof split."""
        folder = self._folder / f"round{round_number}"
        folder.mkdir(parents=True, exist_ok=True)
        spec = replace(self.source.spec, network=description)
        rows = self.task.golden_rows(self.proof, max(1, len(self.source.manifest.samples)))
        golden = make_golden_samples(
            spec,
            [self.proof.items[row] for row in rows],
            lambda items: outputs_of_items(network, spec, items),
        )
        # How sparse it was is no longer known; who changes zeros says so again.
        facts = {k: v for k, v in self.source.manifest.evidence.facts.items() if k != "sparsity"}
        evidence = replace(
            self.source.manifest.evidence, created_utc=now_utc(), parity=None, metrics=(), facts=facts
        )
        manifest = replace(self.source.manifest, spec=spec, samples=golden, evidence=evidence)
        path = folder / "changed.safetensors"
        written = write_artifact(path, weights_bytes(network), manifest)
        metrics = self.measure(path)
        return write_artifact(
            path, written.payload, replace(written.manifest, evidence=replace(evidence, metrics=metrics))
        )

    def measure(self, path: Path) -> tuple[Metric, ...]:
        """A checkpoint's metrics on the proof split."""
        return measure(path, self.task, self.proof, _silent, "").metrics

    @property
    def options(self) -> RecoveryOptions:
        """What it was told."""
        return self._options

    def train(
        self, changed: Artifact, round_number: int, *, keep_zeros: bool = False, afresh: bool = False
    ) -> Artifact:
        """Train a changed checkpoint; without epochs it is what comes back.

        Args:
            changed: Where training starts.
            round_number: Names the run's folder.
            keep_zeros: Weights that are zero stay zero.
            afresh: Learn at a fresh network's rate: a network without half of its channels has most to learn
                again. On Fashion-MNIST three epochs brought it to 90.6 % so, to 87.2 % at a fifth of it.
        """
        from train.loop import train
        from train.options import make_options

        told = self._options
        if told.epochs == 0:
            return changed
        fresh = self.task.defaults({"model": base_name(changed.spec.network)}, self.task.options_type())
        options = make_options(
            self.source.spec.task,
            self.data,
            self._folder / f"run{round_number}",
            start=changed.path,
            teacher=self.source.path if told.teacher and self._teaches else None,
            keep_zeros=keep_zeros or None,
            epochs=told.epochs,
            seed=told.seed,
            lr=told.lr if told.lr is not None or not afresh else fresh["lr"],
            threads=told.threads,
            overwrite=True,
        )
        return read_artifact(train(options, told.say, bar=told.bar).checkpoint)

    @property
    def _teaches(self) -> bool:
        """Whether answers of this kind can be learned from; boxes and masks are learned from labels alone."""
        from train.distillation import soft_loss_of

        return soft_loss_of(self.source.spec.output, 1.0) is not None

    def finish(self, last: Artifact, out: Path, facts: dict[str, Any]) -> Path:
        """Write the last round's checkpoint under its final name, as a child of the original."""
        evidence = replace(
            last.manifest.evidence,
            parent_sha256=self.source.manifest.payload_sha256,
            facts={**last.manifest.evidence.facts, "data_sha256": self._data_sha256(last), **facts},
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        return write_artifact(out, last.payload, replace(last.manifest, evidence=evidence)).path

    def _data_sha256(self, last: Artifact) -> dict[str, str]:
        told = last.manifest.evidence.facts.get("data_sha256", {})
        return {**(told if isinstance(told, dict) else {}), self.proof.name: self.proof.sha256}


@contextmanager
def recovery_of(checkpoint: Path, out: Path, options: RecoveryOptions) -> Iterator[Recovery]:
    """Open a checkpoint for changes.

    Args:
        checkpoint: A `.safetensors`.
        out: The final name, checked before anything slow.
        options: See `RecoveryOptions`.

    Raises:
        ArtifactError: The checkpoint cannot be read.
        DataError: The data cannot be used with it.
        UsageError: It is no checkpoint, or `out` must not be written.
    """
    source = read_artifact(checkpoint)
    read_checkpoint(checkpoint, "CHECKPOINT", source.spec.task)
    _require_writable(out, checkpoint, options.overwrite)
    folder = options.work or Path(tempfile.mkdtemp(prefix="edgewright-"))
    threads = torch.get_num_threads()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        yield Recovery(source, options, folder)
    finally:
        torch.set_num_threads(threads)
        if options.work is None:
            shutil.rmtree(folder, ignore_errors=True)


def original_network(recovery: Recovery) -> nn.Module:
    """The network of the original checkpoint with its weights."""
    network: nn.Module = load_network(recovery.source.program())
    return network


def example_of(artifact: Artifact) -> torch.Tensor:
    """An input of batch 1 for the main graph; open axes have their least extent.

    Raises:
        UsageError: The network takes more than one tensor of numbers, or has several graphs: which of its
            channels belong together cannot be told by running it once.
    """
    graphs, (info, *others) = artifact.spec.graphs, artifact.spec.graph().inputs
    if len(graphs) > 1 or others or not info.dtype.startswith("float"):
        raise UsageError(
            f"Pruning {artifact.path.name!r}",
            got=f"{len(graphs)} graph{'s' * (len(graphs) > 1)}, the first of them with inputs "
            f"{[i.name for i in graphs[0].inputs]} ({info.dtype})",
            expected="a network of one graph with one input of floating-point numbers",
            fix="Make it smaller with --precision int8-dynamic or int8-weights instead.",
        )
    shape = [extent if isinstance(extent, int) else extent.min for extent in info.shape]
    return torch.zeros(shape, dtype=getattr(torch, info.dtype))


def _require_writable(out: Path, checkpoint: Path, overwrite: bool) -> None:
    if out.suffix.lower() != ".safetensors":
        raise UsageError(f"Option --out {out.name!r}", got="another suffix", expected=".safetensors",
                         fix="Name the file, not its folder.")  # fmt: skip
    if out.resolve() == checkpoint.resolve():
        raise UsageError(f"Option --out {out.name!r}", got="the checkpoint itself", expected="another name",
                         fix="Choose another --out.")  # fmt: skip
    if out.exists() and not overwrite:
        raise UsageError(f"Output {out.name!r}", got="a file that is there already", expected="a new name",
                         fix="Say --overwrite to replace it, or choose another --out.")  # fmt: skip


def _silent(_what: str, _done: int, _total: int) -> None:
    """Measuring takes seconds here; the rounds are what is reported."""
