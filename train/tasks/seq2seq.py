"""Task ``seq2seq``: one text from another, such as dates as people say them as computers write them."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array
from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.text_pairs import PairTables, one_spaced
from train.metrics import wilson_interval
from train.options import TrainOptions, require, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Fold, Report, Split, Splits, Task
from train.tasks.seq2seq_arguments import add_seq2seq_arguments
from train.text_metrics import character_edits, share_of_sums

if TYPE_CHECKING:
    from train.plan import Plan

SEQ2SEQ = "seq2seq"
COLUMNS_FACT = "columns"
"""Fact of a checkpoint: which columns its run read."""
EXACT_MATCH, ERROR_RATE = "exact_match", "character_error_rate"
_SHOWN = 10


@dataclass(frozen=True)
class Seq2SeqOptions:
    """Options of task ``seq2seq``.

    Attributes:
        source_column: Name or number of the column that is read; None is the first.
        target_column: Of the one that is to be written; None is the second.
        source_units: One of `train.data.text_units.UNITS`.
        source_vocabulary: Most different tokens read.
        lower_case: Whether sources are read in lower case.
        target_units: ``char``, or ``word``: what stands between blanks.
        max_source_tokens: Longer sources are cut; None is the longest of the training data.
        max_target_tokens: Most tokens written, the end among them; None is by the longest target.
        embedding: Numbers per token.
        hidden: Width of encoder and decoder.
        layers: LSTM layers of each.
        dropout: Share of features that are left out while training.
        attention: ``additive`` or ``dot``.
        teacher_forcing: Share of tokens behind which the right one is given at the start of the run.
        teacher_forcing_end: At its end.
        label_smoothing: Share of the target spread over all tokens.
        beams: Texts that the artifact weighs side by side.
        length_penalty: See `sdk.outputs.decoding.Rules`.
    """

    source_column: str | None = None
    target_column: str | None = None
    source_units: str = "char"
    source_vocabulary: int = 8000
    lower_case: bool = False
    target_units: str = "char"
    max_source_tokens: int | None = None
    max_target_tokens: int | None = None
    embedding: int = 64
    hidden: int = 128
    layers: int = 1
    dropout: float = 0.1
    attention: str = "additive"
    teacher_forcing: float = 1.0
    teacher_forcing_end: float = 0.5
    label_smoothing: float = 0.0
    beams: int = 1
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name in ("max_source_tokens", "max_target_tokens", "embedding", "layers"):
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, value is None or value >= 1, "at least 1")
        for name in ("teacher_forcing", "teacher_forcing_end"):
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, 0 <= value <= 1, "from 0 to 1")
        for name in ("dropout", "label_smoothing"):
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, 0 <= value < 1, "from 0 to below 1")
        require("--source-vocabulary", self.source_vocabulary, self.source_vocabulary >= 3, "at least 3")
        even = self.hidden >= 2 and self.hidden % 2 == 0
        require("--hidden", self.hidden, even, "an even number: half of it reads in either direction")
        require("--beams", self.beams, 1 <= self.beams <= 64, "1 to 64")
        require("--length-penalty", self.length_penalty, self.length_penalty >= 0, "at least 0")


class Seq2SeqTask(Task):
    """One text from another.

    Args:
        columns: Which columns of the tables are read and written; None are the first two.
    """

    name: ClassVar[str] = SEQ2SEQ
    summary: ClassVar[str] = "write one text from another: spoken dates as ISO dates, words as their sounds"
    data_help: ClassVar[str] = (
        "TSV, CSV or JSONL with a source and its target in a row, or a folder with train, val and test ones"
    )
    metric: ClassVar[str] = EXACT_MATCH
    mode: ClassVar[str] = "max"
    models: ClassVar[tuple[str, ...]] = (SEQ2SEQ,)
    options_type: ClassVar[type[Any]] = Seq2SeqOptions

    def __init__(self, columns: tuple[str | None, str | None] = (None, None)) -> None:
        self._columns = columns

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `Seq2SeqOptions`."""
        add_seq2seq_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: Seq2SeqOptions) -> dict[str, Any]:
        """LSTMs like a high rate and short gradients."""
        del task_options
        rate = 4e-3 if given.get("start") is None else 1e-3
        return {"model": SEQ2SEQ, "epochs": 12, "batch_size": 64, "lr": rate, "clip_norm": 1.0}

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what a decoder cannot honour."""
        if options.model not in self.models:
            raise wrong_pair("--model", f"{options.model} for texts from texts", f"{SEQ2SEQ}",
                             "Leave it out.")  # fmt: skip
        for flag, given in (("--teacher", options.teacher), ("--qat", options.qat)):
            if given is not None:
                raise wrong_pair(flag, "it with seq2seq", "a task with one answer per item", "Leave it out.")
        if options.start is not None:
            own, plain = options.task_options, Seq2SeqOptions()
            for name in _OF_THE_CHECKPOINT:
                if getattr(own, name) != getattr(plain, name):
                    raise wrong_pair(f"--from and --{name.replace('_', '-')}", "both", "one of them",
                                     "The checkpoint says how texts are read and written.")  # fmt: skip
        return options

    def as_trained(self, facts: Mapping[str, Any]) -> Task:
        """The task with the columns of the checkpoint's run."""
        return Seq2SeqTask(tuple(facts.get(COLUMNS_FACT, (None, None))))

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Sources, and as targets what is to be written; see `Task.load_split`."""
        del spec  # a checkpoint may be measured on any pairs
        pairs = PairTables(Path(data), *self._columns).read(split)
        return Split(split, pairs.sources, pairs.targets, (), pairs.sha256())

    def fold_rows(self, data: Path, pool: Split, fold: Fold) -> tuple[Array, Array]:
        """Targets are divided at random, each with every source of it; see `Task.fold_rows`."""
        del data
        from train.fold_division import plain_folds

        different, which = np.unique(np.asarray(pool.targets), return_inverse=True)
        chosen = plain_folds(len(different), fold.of)[which]
        return np.flatnonzero(chosen != fold.at - 1), np.flatnonzero(chosen == fold.at - 1)

    def proof_split(self, data: Path) -> str:
        """``test`` where there is such a table, else ``val``."""
        return "test" if "test" in PairTables(Path(data)).splits else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Share of texts that are exactly what was wanted, and the character error rate.

        Runs of white space count as one blank.
        """
        if not len(split.targets):
            return ()
        written = _texts(results)
        edits = character_edits(written, split.targets)
        hits, count = int((edits == 0).sum()), len(edits)
        lengths = np.array([len(target) for target in split.targets])
        exact = Metric(EXACT_MATCH, hits / count, *wilson_interval(hits, count), count, split.name)
        return exact, Metric(ERROR_RATE, *share_of_sums(edits, lengths), count, split.name, mode="min")

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of items with the same text."""
        return float(np.mean([one.text == other.text for one, other in zip(results, others, strict=True)]))

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Texts that were written wrongly, the worst first, and where the decoder looked for one."""
        if not len(split.targets):
            return Report({})
        edits = character_edits(_texts(results), split.targets)
        wrong = [int(row) for row in np.argsort(-edits, kind="stable")[:_SHOWN] if edits[row]]
        columns = ("source", "wanted", "written")
        rows = [(results[row].prompt, split.targets[row], results[row].text) for row in wrong]
        picture = io.BytesIO()
        results[wrong[0] if wrong else 0].plot().save(picture, "PNG")
        return Report(
            figures={"wrong": [dict(zip(columns, row, strict=True)) for row in rows]},
            columns=columns if rows else (),
            rows=tuple(tuple(text.replace("[", r"\[") for text in row) for row in rows),
            pictures={"attention.png": picture.getvalue()},
        )

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.seq2seq_plan import make_seq2seq_plan

        own: Seq2SeqOptions = options.task_options
        self._columns = own.source_column, own.target_column
        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        train, val = (self.load_split(options.data, name) for name in ("train", "val"))
        proof = self.load_split(options.data, "test") if self.proof_split(options.data) == "test" else val
        return make_seq2seq_plan(self.name, options, Splits(train, val, proof), start)


_OF_THE_CHECKPOINT = (
    "source_units", "source_vocabulary", "lower_case", "target_units", "max_source_tokens",
    "max_target_tokens", "embedding", "hidden", "layers", "dropout", "attention", "beams", "length_penalty",
)  # fmt: skip


def _texts(results: Sequence[Any]) -> list[str]:
    return [one_spaced(result.text) for result in results]
