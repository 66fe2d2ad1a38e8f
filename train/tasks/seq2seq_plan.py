"""Network, loss and batches for one run of task ``seq2seq``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, DataError, Dim, TensorInfo
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS, TextInput
from sdk.kinds import Sample
from sdk.outputs.decoded_text import (
    CELL,
    HIDDEN,
    KEYS,
    LOGITS,
    LOOKED,
    MEMORY,
    NEXT,
    STEP_GRAPH,
    TOKEN,
    DecodedTextOutput,
)
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.text_units import PAD_ID, make_tokenizer
from train.networks.freezing import freeze
from train.options import TrainOptions
from train.plan import Plan, TrainSet
from train.sampling import Draw
from train.start import inherited_facts
from train.tasks.base import Splits
from train.tasks.seq2seq import COLUMNS_FACT, SEQ2SEQ, Seq2SeqOptions

END_ID, START_ID = 0, 1
_NAMES = ("<end>", "<start>")
IGNORED = -100
"""What stands behind the end of a target: torch's own number for what a loss leaves out."""
_LENGTH_STEP, _MOST_SOURCE_TOKENS = 8, 512
_CHARS_PER_TOKEN = 64
"""Of a source that are looked at: longer words are hardly any."""


class PairBatch(NamedTuple):
    """Several pairs.

    Attributes:
        sources: What the network reads, in its order: int64 (N, T).
        targets: What it is to write, the end among it, then `IGNORED`: int64 (N, M).
    """

    sources: tuple[Tensor, ...]
    targets: Tensor


class PairTrainSet(TrainSet):
    """Pairs for training, turned into tokens once.

    Args:
        sources: What is read.
        targets: What is to be written, as tokens with the end.
        text_input: The spec's input.
    """

    in_memory = True

    def __init__(self, sources: Sequence[str], targets: Sequence[list[int]], text_input: TextInput) -> None:
        self._sources = [text_input.load(source) for source in sources]
        self._targets = targets
        self._input = text_input

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, draw: Draw) -> tuple[Sample, list[int]]:
        return self._sources[draw.index], self._targets[draw.index]

    def collate(self, items: list[Any]) -> PairBatch:
        """Sources padded by the spec, targets to the longest."""
        arrays = self._input.batch([sample for sample, _ in items], ())
        targets = np.full((len(items), max(len(target) for _, target in items)), IGNORED, np.int64)
        for row, (_, target) in zip(targets, items, strict=True):
            row[: len(target)] = target
        sources = tuple(torch.from_numpy(arrays[name]) for name in self._input.inputs)
        return PairBatch(sources, torch.from_numpy(targets))


class DecodingLoss(nn.Module):
    """Cross-entropy of every token, with less and less help.

    Behind each token the decoder is given the right one with a probability that falls evenly over the run,
    and else the one that it would have written itself (Bengio et al. 2015, "Scheduled Sampling").

    Args:
        shares: That probability at the start of the run and at its end.
        batches: Of the whole run.
        label_smoothing: Share of the target spread over all tokens.
    """

    done: Tensor

    def __init__(self, shares: tuple[float, float], batches: int, label_smoothing: float) -> None:
        super().__init__()
        self._shares = shares
        self._batches = batches
        self._smoothing = label_smoothing
        # Part of the state, so that a resumed run goes on where it was.
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    @property
    def share(self) -> float:
        """Of tokens behind which the right one is given now."""
        first, last = self._shares
        return first + (last - first) * min(1.0, int(self.done) / self._batches)

    def forward(self, network: nn.Module, batch: PairBatch) -> dict[str, Tensor]:
        """Mean over all tokens, and the share of them that were right."""
        memory, keys, hidden, cell = network(*batch.sources)
        mask, targets = batch.sources[1], batch.targets
        share = self.share
        self.done += 1
        token = torch.full_like(targets[:, :1], START_ID)
        written = []
        for at in range(targets.shape[1]):
            logits, hidden, cell, _ = network.step(token, hidden, cell, memory, keys, mask)  # type: ignore[operator]
            written.append(logits.float())
            given = torch.rand(len(targets), 1, device=targets.device) < share
            right = targets[:, at : at + 1].clamp(min=END_ID)
            token = torch.where(given, right, logits.detach().argmax(dim=1, keepdim=True))
        flat, wanted = torch.stack(written, dim=1).flatten(0, 1), targets.flatten()
        loss = F.cross_entropy(flat, wanted, ignore_index=IGNORED, label_smoothing=self._smoothing)
        counted = wanted != IGNORED
        return {"loss": loss, "accuracy": (flat.argmax(dim=1) == wanted)[counted].float().mean()}


def make_seq2seq_plan(task: str, options: TrainOptions, splits: Splits, start: Artifact | None) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        options: Of the run.
        splits: The data.
        start: Checkpoint whose spec and weights are taken as they are.

    Raises:
        DataError: There is nothing to learn from, or a target holds what the checkpoint cannot write.
    """
    own: Seq2SeqOptions = options.task_options
    spec = _spec(task, own, splits) if start is None else start.spec
    network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    if start is not None:
        network = load_network(start.program())
    output: Any = spec.output
    text_input: Any = spec.input
    targets = encoded_targets(splits.train.targets, output)
    batches = math.ceil(len(targets) / options.batch_size) * options.epochs
    shares = own.teacher_forcing, own.teacher_forcing_end
    return Plan(
        spec=spec,
        network=network,
        groups=freeze(network, "none"),
        train_set=PairTrainSet(splits.train.items, targets, text_input),
        weights=None,
        loss=DecodingLoss(shares, batches, own.label_smoothing),
        validation_loss=None,
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={
            COLUMNS_FACT: [own.source_column, own.target_column],
            "teacher_forcing": list(shares),
            **({} if start is None else inherited_facts(start, keep_zeros=options.keep_zeros)),
        },
    )


def encoded_targets(targets: Iterable[str], output: DecodedTextOutput) -> list[list[int]]:
    """Targets as the tokens of `output`, each with its end.

    Raises:
        DataError: One holds a token that is unknown, or too many.
    """
    numbers = {token: at for at, token in enumerate(output.tokens) if at not in (output.start, output.end)}
    encoded = []
    for row, target in enumerate(targets, 1):
        tokens = _pieces(target, output.joiner)
        strange = next((token for token in tokens if token not in numbers), None)
        if strange is not None or len(tokens) >= output.max_tokens:
            raise DataError(
                f"Training pair {row}",
                got=f"target token {strange!r}" if strange is not None else f"{len(tokens)} target tokens",
                expected="tokens that the checkpoint writes" if strange is not None
                else f"at most {output.max_tokens - 1}",
                fix="Train without --from." if strange is not None
                else "Raise --max-target-tokens, or leave the pair out.",
            )  # fmt: skip
        encoded.append([*(numbers[token] for token in tokens), output.end])
    return encoded


def _pieces(target: str, joiner: str) -> list[str]:
    return target.split(joiner) if joiner else list(target)


def _spec(task: str, own: Seq2SeqOptions, splits: Splits) -> Spec:
    text_input = _text_input(own, splits.train.items)
    output = _output(own, splits.train.targets, text_input.max_tokens)
    arguments = {
        "source_tokens": text_input.vocabulary,
        "target_tokens": len(output.tokens),
        "embedding": own.embedding,
        "hidden": own.hidden,
        "layers": own.layers,
        "dropout": own.dropout,
        "attention": own.attention,
    }
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=text_input,
        output=output,
        graphs=_graphs(text_input, len(output.tokens), own),
        baked=(),
        network=Network(SEQ2SEQ, arguments),
    )


def _text_input(own: Seq2SeqOptions, sources: Sequence[str]) -> TextInput:
    tokenizer, vocabulary = make_tokenizer(
        sources, own.source_units, lower_case=own.lower_case, most=own.source_vocabulary
    )
    most = own.max_source_tokens or _MOST_SOURCE_TOKENS

    def fed(tokens: int) -> TextInput:
        return TextInput(
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            max_tokens=tokens,
            max_chars=tokens * (1 if own.source_units == "char" else _CHARS_PER_TOKEN),
            truncation_side="right",
            padding_side="right",
            pad_id=PAD_ID,
            lengths=(),
            buckets=(tokens,),
            inputs=(INPUT_IDS, ATTENTION_MASK),
        )

    if own.max_source_tokens is not None:
        return fed(most)
    longest = max(len(fed(most).load(source).arrays[INPUT_IDS]) for source in sources)
    return fed(min(most, -(-longest // _LENGTH_STEP) * _LENGTH_STEP))


def _output(own: Seq2SeqOptions, targets: Sequence[str], max_read: int) -> DecodedTextOutput:
    joiner = " " if own.target_units == "word" else ""
    pieces = [_pieces(target, joiner) for target in targets]
    longest = max(len(tokens) for tokens in pieces) + 1
    return DecodedTextOutput(
        tokens=(*_NAMES, *sorted({token for tokens in pieces for token in tokens})),
        joiner=joiner,
        start=START_ID,
        end=END_ID,
        max_tokens=own.max_target_tokens or longest,
        max_read=max_read,
        beams=own.beams,
        length_penalty=own.length_penalty,
    )


def _graphs(text_input: TextInput, written: int, own: Seq2SeqOptions) -> tuple[Graph, Graph]:
    read = Dim(1, text_input.max_tokens)

    def floats(name: str, *shape: int | Dim) -> TensorInfo:
        return TensorInfo(name, "float32", (Dim(), *shape))

    memory, keys = floats(MEMORY, read, own.hidden), floats(KEYS, read, own.hidden)
    states = [floats(name, own.layers, own.hidden) for name in (HIDDEN, CELL)]
    mask = TensorInfo(ATTENTION_MASK, "int64", (Dim(), read))
    token = TensorInfo(TOKEN, "int64", (Dim(), 1))
    following = [floats(NEXT + name, own.layers, own.hidden) for name in (HIDDEN, CELL)]
    step = Graph(
        STEP_GRAPH,
        (token, *states, memory, keys, mask),
        (floats(LOGITS, written), *following, floats(LOOKED, read)),
    )
    return Graph(MAIN_GRAPH, text_input.tensors(), (memory, keys, *states)), step
