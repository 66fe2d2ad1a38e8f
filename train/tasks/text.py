"""Task ``text``: which class a text is of."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.labelled_items import read_part
from train.data.text_tables import Columns, TextTables
from train.metrics import macro_f1
from train.options import TrainOptions, flag_of, require, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Split, Splits
from train.tasks.class_task import ClassTask, indices_of
from train.tasks.text_arguments import add_text_arguments

if TYPE_CHECKING:
    from train.plan import Plan

BERT, LSTM = "bert", "text_lstm"
DEFAULT_MAX_TOKENS = 64
_FACT = "table"
"""Under which the evidence keeps where a table holds what."""


@dataclass(frozen=True)
class TextOptions:
    """Options of task ``text``.

    Attributes:
        text_column: Name of the texts' column, or its number from 1.
        label_column: Name of the labels' column, or its number from 1.
        header: ``yes`` or ``no``: whether a table's first row names its columns; None: see `Columns`.
        class_names: What the labels are called, in their order; empty: as in the table.
        max_tokens: Most tokens of a text; None is `DEFAULT_MAX_TOKENS`, or fewer where the network has no
            room for them.
        truncate: Which end of a long text is cut off: ``right`` or ``left``.
        vocabulary: Of ``text_lstm``: most tokens.
        cased: Of ``text_lstm``: keep capitals and accents.
        tokenizer: Of ``text_lstm``: a ``tokenizer.json`` in place of a vocabulary of its own.
        pretrained_from: Of ``bert``: a directory of `transformers`.
        pooling: Of ``bert``: ``mean`` or ``first``.
        hidden: Of ``text_lstm``: width of each direction; None is the network's own choice.
        embedding: Of ``text_lstm``: numbers per token; None is the network's own choice.
        layers: Of ``text_lstm``: None is the network's own choice.
        dropout: None is the network's own choice.
        freeze: One of `train.networks.freezing.STRATEGIES`.
        layer_decay: Factor on the learning rate from each layer to the one before it.
        decay_all: Weight decay acts on biases and normalisations too.
        word_dropout: Share of tokens hidden while training; None is 0, and 0.1 for ``text_lstm``.
        loss: ``cross-entropy`` or ``focal``.
        label_smoothing: Share of the target spread over all classes, 0..1.
        weighted_sampling: Draw every class equally often.
    """

    text_column: str = "text"
    label_column: str = "label"
    header: str | None = None
    class_names: tuple[str, ...] = ()
    max_tokens: int | None = None
    truncate: str = "right"
    vocabulary: int = 8000
    cased: bool = False
    tokenizer: Path | None = None
    pretrained_from: Path | None = None
    pooling: str = "mean"
    hidden: int | None = None
    embedding: int | None = None
    layers: int | None = None
    dropout: float | None = None
    freeze: str = "none"
    layer_decay: float = 1.0
    decay_all: bool = False
    word_dropout: float | None = None
    loss: str = "cross-entropy"
    label_smoothing: float = 0.0
    weighted_sampling: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("max_tokens", 4),
            ("vocabulary", 8),
            ("hidden", 1),
            ("embedding", 1),
            ("layers", 1),
        ):
            value = getattr(self, name)
            require(flag_of(name), value, value is None or value >= least, f"at least {least}")
        for name in ("dropout", "word_dropout", "label_smoothing"):
            value = getattr(self, name)
            require(flag_of(name), value, value is None or 0 <= value < 1, "from 0 to below 1")
        require("--layer-decay", self.layer_decay, 0 < self.layer_decay <= 1, "above 0, at most 1")
        if self.layer_decay != 1 and self.freeze != "none":
            raise wrong_pair("--layer-decay and --freeze", "both", "one of them", "Leave one out.")
        if self.loss == "focal" and self.label_smoothing > 0:
            raise wrong_pair("--label-smoothing", "it with focal loss", "cross-entropy", "Leave one out.")

    @property
    def columns(self) -> Columns:
        """Where a table holds what."""
        header = None if self.header is None else self.header == "yes"
        return Columns(self.text_column, self.label_column, header)


_OF_BERT = ("pretrained_from", "pooling")
_OF_LSTM = ("vocabulary", "cased", "tokenizer", "hidden", "embedding", "layers")
_OF_THE_CHECKPOINT = (*_OF_BERT, *_OF_LSTM, "max_tokens", "truncate", "dropout", "class_names")
"""What a checkpoint that is trained further says itself."""


class TextTask(ClassTask):
    """One label per text."""

    name: ClassVar[str] = "text"
    summary: ClassVar[str] = "put texts into classes: a BERT-family encoder, or a small LSTM"
    data_help: ClassVar[str] = (
        "table of texts and labels (.tsv, .csv, .jsonl), or folder of one for each of train, val and test, "
        "such as train.tsv or movie_train.tsv"
    )
    things: ClassVar[str] = "texts"
    models: ClassVar[tuple[str, ...]] = (LSTM, BERT)
    options_type: ClassVar[type[Any]] = TextOptions

    def __init__(self, columns: Columns | None = None, class_names: Sequence[str] = ()) -> None:
        self._columns = columns or Columns()
        self._class_names = tuple(class_names)
        self._opened: tuple[Path, TextTables] | None = None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `TextOptions`."""
        add_text_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: TextOptions) -> dict[str, Any]:
        """Learned weights are moved gently behind a warm-up; a fresh LSTM learns fast."""
        pretrained = task_options.pretrained_from is not None
        model = given.get("model", BERT if pretrained else LSTM)
        gentle = {"scheduler": "warmup-cosine", "warmup": 0.1, "clip_norm": 1.0}
        if model == BERT:
            chosen = {"epochs": 3, "batch_size": 32, "lr": 1e-4 if pretrained or "start" in given else 5e-4}
            return {"model": model, **gentle, **chosen}
        fresh = "start" not in given
        return {"model": model, **gentle, "epochs": 5, "batch_size": 32, "lr": 2e-3 if fresh else 4e-4}

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse options that the network cannot honour."""
        own: TextOptions = options.task_options
        others = _OF_LSTM if options.model == BERT else _OF_BERT
        told = _told(own, _OF_THE_CHECKPOINT if options.start is not None else others)
        if told and options.start is not None:
            raise wrong_pair(f"--from and {flag_of(told)}", "both", "one of them",
                             "The checkpoint says how texts are fed and holds the weights.")  # fmt: skip
        if told:
            model = LSTM if options.model == BERT else BERT
            raise wrong_pair(flag_of(told), f"it for {options.model}", f"--model {model}", "Leave one out.")
        if options.model == BERT and options.start is None and own.pretrained_from is None:
            raise wrong_pair("--model", "bert without a directory", "--pretrained-from DIR beside it",
                             "Name a directory of transformers: it says how to build it.")  # fmt: skip
        fresh = options.start is None and own.pretrained_from is None
        if fresh and own.freeze in ("head-only", "last-blocks"):
            raise wrong_pair("--freeze", f"{own.freeze} with fresh weights", "--pretrained-from or --from",
                             "Frozen layers must have learned something: add one of the two.")  # fmt: skip
        if own.tokenizer is not None and own.cased:
            raise wrong_pair("--tokenizer and --cased", "both", "one of them", "The tokenizer says it.")
        return options

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Texts and class indices of one split; see `Task.load_split`."""
        texts = read_part(self._tables(Path(data)), Path(data), split, 1)
        if spec is not None:
            texts = texts.renumbered(spec.output.labels, Path(data))  # type: ignore[attr-defined]
        return Split(split, texts.items, texts.targets, texts.labels, texts.sha256())

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in self._tables(Path(data)).splits else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Accuracy with its Wilson interval, and the mean F1 of all classes with a bootstrap interval."""
        predicted, targets = indices_of(results), np.asarray(split.targets)
        value, low, high = macro_f1(predicted, targets, len(split.labels))
        accuracy = super().measure(results, split)
        return *accuracy, Metric("macro-F1", value, low, high, len(targets), split.name)

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.text_plan import make_text_plan

        own: TextOptions = options.task_options
        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        if start is not None and not _told(own, ("text_column", "label_column", "header")):
            self._remember(start.manifest.evidence.facts)
        else:
            self._columns, self._class_names, self._opened = own.columns, own.class_names, None
        spec = None if start is None else start.spec
        train, val = (self.load_split(options.data, name, spec) for name in ("train", "val"))
        tested = self.proof_split(options.data) == "test"
        proof = self.load_split(options.data, "test", spec) if tested else val
        plan = make_text_plan(self.name, options, Splits(train, val, proof), start)
        return replace(plan, facts={**plan.facts, _FACT: self._table()})

    def as_trained(self, facts: Mapping[str, Any]) -> TextTask:
        """The task with the columns and class names of the run."""
        task = TextTask()
        task._remember(facts)
        return task

    def _tables(self, data: Path) -> TextTables:
        """The data at `data`, read once."""
        if self._opened is None or self._opened[0] != data:
            self._opened = data, TextTables(data, self._columns, self._class_names)
        return self._opened[1]

    def _table(self) -> dict[str, Any]:
        columns = self._columns
        return {
            "text_column": columns.text,
            "label_column": columns.label,
            "header": columns.header,
            "class_names": list(self._class_names),
        }

    def _remember(self, facts: Mapping[str, Any]) -> None:
        told = facts.get(_FACT)
        if told:
            self._columns = Columns(told["text_column"], told["label_column"], told["header"])
            self._class_names = tuple(told["class_names"])
            self._opened = None


def _told(own: TextOptions, names: Sequence[str]) -> str | None:
    """The first of some options that was given."""
    usual = TextOptions()
    return next((name for name in names if getattr(own, name) != getattr(usual, name)), None)
