"""Task ``gpt``: learn to continue text."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, UsageError
from sdk.artifact import Metric
from sdk.inputs.tokenizer import open_tokenizer
from sdk.spec import Spec
from train.data.text_corpus import open_corpus, split_of
from train.metrics import Z_95
from train.options import TrainOptions, require, wrong_pair
from train.prompt_tokenizers import BYTE_PAIRS, BYTE_TOKENS, TOKENIZERS
from train.start import read_checkpoint
from train.tasks.base import Fold, Report, Split, Task
from train.tasks.gpt_arguments import add_gpt_arguments

if TYPE_CHECKING:
    from train.plan import Plan

_PLACES = (1, 8, 32, 128, 512)
"""Where the rows of the report begin: how far into a window a token stands."""
_FROM_DIRECTORY = ("tokenizer", "vocabulary", "context", "layers", "heads", "width")


@dataclass(frozen=True)
class GptOptions:
    """Options of a language model.

    Attributes:
        tokenizer: One of `TOKENIZERS`.
        vocabulary: Tokens of ``bpe``.
        context: Most tokens that the network looks at.
        layers: Blocks.
        heads: Of attention in each.
        width: Numbers per token.
        dropout: Share that is dropped while training.
        pretrained_from: A GPT-2 directory of transformers; None starts from nothing.
        max_tokens: Most tokens that a prediction writes.
    """

    tokenizer: str = BYTE_PAIRS
    vocabulary: int = 2048
    context: int = 128
    layers: int = 4
    heads: int = 4
    width: int = 128
    dropout: float = 0.1
    pretrained_from: Path | None = None
    max_tokens: int = 32

    def __post_init__(self) -> None:
        require(
            "--tokenizer", self.tokenizer, self.tokenizer in TOKENIZERS, f"one of {', '.join(TOKENIZERS)}"
        )
        least = BYTE_TOKENS + 2
        require("--vocabulary", self.vocabulary, self.vocabulary >= least, f"at least {least}")
        require("--context", self.context, self.context >= 2, "at least 2")
        for name in ("layers", "heads", "max_tokens"):
            require(
                f"--{name.replace('_', '-')}", getattr(self, name), getattr(self, name) >= 1, "at least 1"
            )
        divides = self.width >= 1 and self.width % self.heads == 0
        require("--width", self.width, divides, f"a multiple of --heads {self.heads}")
        require("--dropout", self.dropout, 0 <= self.dropout < 1, "from 0 to below 1")


class GptTask(Task):
    """A language model: which token comes next, judged by perplexity."""

    name: ClassVar[str] = "gpt"
    summary: ClassVar[str] = "learn to continue text, and write it token by token"
    data_help: ClassVar[str] = (
        "a text file; a folder of .txt files; or a folder with train.txt, val.txt and test.txt, or folders "
        "of these names"
    )
    metric: ClassVar[str] = "perplexity"
    mode: ClassVar[str] = "min"
    models: ClassVar[tuple[str, ...]] = ("gpt",)
    options_type: ClassVar[type[Any]] = GptOptions
    _fold: Fold | None = None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `GptOptions`."""
        add_gpt_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: GptOptions) -> dict[str, Any]:
        """A small network learns fast; one that knows a language already, gently."""
        learned = task_options.pretrained_from is not None or given.get("start") is not None
        return {
            "model": "gpt",
            "epochs": 3 if learned else 10,
            "batch_size": 16,
            "lr": 5e-5 if learned else 1e-3,
            "scheduler": "warmup-cosine",
            "warmup": 0.1,
            "weight_decay": 0.1,
            "clip_norm": None if given.get("clip_value") is not None else 1.0,
        }

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what a checkpoint or a directory says already, and other networks."""
        own: GptOptions = options.task_options
        if options.model != "gpt":
            raise UsageError("Option --model", got=options.model, expected="gpt", fix="Leave it out.")
        if own.pretrained_from is not None and options.start is not None:
            raise wrong_pair("--pretrained-from and --from", "both", "one of them", "Leave one out.")
        named = options.start or own.pretrained_from
        if named is not None:
            plain = {field.name: field.default for field in fields(GptOptions)}
            given = [name for name in _FROM_DIRECTORY if getattr(own, name) != plain[name]]
            if given:
                flag = "--from" if options.start is not None else "--pretrained-from"
                raise wrong_pair(f"--{given[0]} and {flag}", "both", "one of them", f"{named.name} says it.")
        if options.teacher is not None or options.qat is not None:
            flag = "--teacher" if options.teacher is not None else "--qat"
            raise wrong_pair(flag, "it for task gpt", "a task with one graph", "Leave it out.")
        return options

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Windows of one part's text, in order, as long as the network of `spec` reads at once."""
        documents = open_corpus(Path(data), self._fold).documents(split)
        if spec is None:
            return split_of(documents, split)
        return split_of(documents, split, open_tokenizer(spec.input.tokenizer), spec.input.max_tokens)  # type: ignore[attr-defined]

    def in_fold(self, fold: Fold) -> GptTask:
        """Whole documents are held out, or of few a block of each."""
        task = GptTask()
        task._fold = fold
        return task

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in open_corpus(Path(data)).parts else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Perplexity per token, and bits per byte, which can be compared across tokenizers.

        The first token of a window has nothing before it and is not counted. Intervals see windows as draws.
        """
        losses = np.array([-result.scores.sum(dtype=np.float64) for result in results])
        counts = np.array([len(result.scores) for result in results], np.float64)
        # Of a window's bytes, the first token has its share, which is not counted either.
        sizes = np.array([len(item.encode()) for item in split.items], np.float64) * counts / (counts + 1)
        low, nats, high = _ratio(losses, counts)
        low_bits, bits, high_bits = (value / np.log(2) for value in _ratio(losses, sizes))
        common = {"samples": len(results), "split": split.name, "unit": "", "mode": "min"}
        return (
            Metric(name="perplexity", value=_exp(nats), low=_exp(low), high=_exp(high), **common),
            Metric(name="bits per byte", value=bits, low=low_bits, high=high_bits, **common),
        )

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of places in which both expect the same token."""
        pairs = zip(results, others, strict=True)
        same = [one.likeliest == other.likeliest for one, other in pairs]
        return float(np.concatenate(same).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Perplexity by how much text a token has before it."""
        longest = max(len(result.scores) for result in results)
        rows = []
        for begin, end in zip(_PLACES, (*_PLACES[1:], longest + 1), strict=True):
            scores = np.concatenate([result.scores[begin - 1 : end - 1] for result in results])
            if len(scores):
                rows.append(
                    (begin, min(end - 1, longest), float(np.exp(-scores.mean(dtype=np.float64))), len(scores))
                )
        tokens = sum(len(result.scores) for result in results)
        return Report(
            figures={
                "tokens": tokens,
                "bytes": sum(len(item.encode()) for item in split.items),
                "by_tokens_before": [
                    {"from": begin, "to": end, "perplexity": value, "tokens": count}
                    for begin, end, value, count in rows
                ],
            },
            columns=("tokens before", "perplexity", "tokens"),
            rows=tuple((f"{begin}–{end}", f"{value:.2f}", f"{count:,}") for begin, end, value, count in rows),
        )

    def plan(self, options: TrainOptions) -> Plan:
        """Tokenizer, network and windows for one run; see `Task.plan`."""
        from train.tasks.gpt_plan import make_gpt_plan

        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        return make_gpt_plan(self.name, open_corpus(options.data, self._fold), options, start)


def _ratio(losses: Array, sizes: Array) -> tuple[float, float, float]:
    """Lower end, value and upper end of sum(losses) / sum(sizes); the interval by the ratio's linearisation
    (Cochran 1977, "Sampling Techniques", section 6.4), windows being drawn independently.
    """
    total = max(float(sizes.sum()), 1e-9)
    value = float(losses.sum()) / total
    count = len(losses)
    if count < 2:
        return 0.0, value, 2 * value
    residuals = losses - value * sizes
    half = Z_95 * float(np.sqrt(count / (count - 1) * (residuals**2).sum())) / total
    return max(0.0, value - half), value, value + half


def _exp(value: float) -> float:
    # A perplexity beyond this says only that the network knows nothing yet; infinity is no JSON.
    return float(np.exp(min(value, 50.0)))
