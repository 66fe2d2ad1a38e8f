"""Tokenizer, network and training windows for one run of a language model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from runtimes import MAIN_GRAPH, Array, DataError, Dim, TensorInfo
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.generation.cache import KEY, KEYS, LENGTH, LOGITS, STEP, TOKEN, VALUE, VALUES
from sdk.inputs.prompt import PromptInput
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS
from sdk.inputs.tokenizer import open_tokenizer, pack_tokenizer
from sdk.outputs.generated_text import GeneratedTextOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.text_corpus import TextCorpus, split_of
from train.networks.freezing import freeze
from train.options import TrainOptions
from train.plan import Plan, TrainSet
from train.prompt_tokenizers import CHARACTERS, END, byte_pair_tokenizer, character_tokenizer
from train.sampling import Draw
from train.start import inherited_facts
from train.tasks.base import Split, Splits
from train.tasks.gpt import GptOptions

MOST_CHARACTERS_PER_TOKEN = 16
"""A prompt's last so many characters for each token of the context are looked at: more than a token holds."""

_ENDS = (END, "<|endoftext|>", "</s>")


def make_gpt_plan(task: str, corpus: TextCorpus, options: TrainOptions, start: Artifact | None) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        corpus: The text.
        options: Of the run.
        start: Checkpoint whose spec and weights are taken as they are.

    Raises:
        DataError: There is too little text.
        UsageError: A directory does not hold what it should.
    """
    own: GptOptions = options.task_options
    network: nn.Module
    if start is not None:
        spec, network = start.spec, load_network(start.program())
    elif own.pretrained_from is not None:
        from train.networks.gpt2_directory import read_gpt2_directory

        found = read_gpt2_directory(own.pretrained_from, own.dropout)
        spec = _spec(task, found.tokenizer, found.arguments, own.max_tokens)
        network = _built(spec)
        network.load_state_dict(found.weights)
    else:
        tokenizer = _learned_tokenizer(corpus, own)
        spec = _spec(task, tokenizer, _arguments(tokenizer, own), own.max_tokens)
        network = _built(spec)
    splits = _splits(corpus, spec)
    train_set = TextWindows(splits.train, spec)
    return Plan(
        spec=spec,
        network=network,
        groups=freeze(network, "none"),
        train_set=train_set,
        weights=None,
        loss=NextTokenLoss(),
        validation_loss=None,
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={
            **({} if start is None else inherited_facts(start, keep_zeros=options.keep_zeros)),
            "train_tokens": len(train_set.tokens),
        },
    )


class TextWindows(TrainSet):
    """As many windows of the training text as it is long, each cut out anew at a random place.

    Args:
        split: Windows of text in order; see `train.data.text_corpus.split_of`.
        spec: Whose tokenizer and context are used.

    Raises:
        DataError: The text is shorter than one window.
    """

    in_memory = True

    def __init__(self, split: Split, spec: Spec) -> None:
        prompt: PromptInput = spec.input  # type: ignore[assignment]
        tokenizer = open_tokenizer(prompt.tokenizer)
        ids: list[int] = []
        encoded = tokenizer.encode_batch_fast(list(split.items), add_special_tokens=False)
        for encoding, ends in zip(encoded, split.targets, strict=True):
            ids += encoding.ids
            ids += [prompt.start_id] * bool(ends)
        self.tokens: Array = np.array(ids, np.int64)
        self._length = prompt.max_tokens
        if len(self.tokens) <= self._length + 1:
            raise DataError(
                "Training text",
                got=f"{len(self.tokens):,} tokens",
                expected=f"more than {self._length + 1:,}, which one window takes",
                fix="Train on more text, or with a smaller --context.",
            )

    def __len__(self) -> int:
        return max(1, len(self.tokens) // self._length)

    def __getitem__(self, draw: Draw) -> Array:
        """int64 (context + 1,): what is read, and one token more."""
        last = len(self.tokens) - self._length - 1
        begin = int(np.random.default_rng(draw.seed).integers(0, last + 1))
        window: Array = self.tokens[begin : begin + self._length + 1]
        return window

    def collate(self, items: list[Any]) -> Tensor:
        """int64 (N, context + 1)."""
        return torch.from_numpy(np.stack(items))


class NextTokenLoss:
    """Mean negative logarithm of the probability of each window's next tokens."""

    def __call__(self, network: nn.Module, windows: Tensor) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            network: A `Gpt`.
            windows: int64 (N, T + 1).
        """
        logits = network.logits(windows[:, :-1]).float()  # type: ignore[operator]
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())}


def _learned_tokenizer(corpus: TextCorpus, own: GptOptions) -> str:
    """JSON of a tokenizer that has seen the training text alone."""
    texts = corpus.documents("train")
    return (
        character_tokenizer(texts)
        if own.tokenizer == CHARACTERS
        else byte_pair_tokenizer(texts, own.vocabulary)
    )


def _arguments(tokenizer: str, own: GptOptions) -> dict[str, Any]:
    return {
        "vocabulary": _size(tokenizer),
        "context": own.context,
        "layers": own.layers,
        "heads": own.heads,
        "width": own.width,
        "dropout": own.dropout,
    }


def _size(tokenizer: str) -> int:
    return int(open_tokenizer(pack_tokenizer(tokenizer)).get_vocab_size())


def _built(spec: Spec) -> nn.Module:
    network: nn.Module = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
    return network


def _splits(corpus: TextCorpus, spec: Spec) -> Splits:
    prompt: PromptInput = spec.input  # type: ignore[assignment]
    tokenizer = open_tokenizer(prompt.tokenizer)
    train, val = (
        split_of(corpus.documents(name), name, tokenizer, prompt.max_tokens) for name in ("train", "val")
    )
    if "test" not in corpus.parts:
        return Splits(train, val, val)
    return Splits(train, val, split_of(corpus.documents("test"), "test", tokenizer, prompt.max_tokens))


def _spec(task: str, tokenizer: str, arguments: dict[str, Any], max_tokens: int) -> Spec:
    """The contract of a fresh network.

    Args:
        task: Name of the task; also that of the spec.
        tokenizer: JSON of the `tokenizers` library.
        arguments: Of the builder ``gpt``.
        max_tokens: That a prediction writes.
    """
    packed, context = pack_tokenizer(tokenizer), arguments["context"]
    end, never = _special_ids(packed)
    text = PromptInput(
        tokenizer=packed,
        vocabulary=arguments["vocabulary"],
        max_tokens=context,
        max_chars=MOST_CHARACTERS_PER_TOKEN * context,
        truncation_side="left",
        padding_side="right",
        pad_id=end,
        lengths=(),
        buckets=(),
        inputs=(INPUT_IDS, ATTENTION_MASK),
        start_id=end,
    )
    output = GeneratedTextOutput(
        vocabulary=open_tokenizer(packed).get_vocab_size(),
        context=context,
        end_ids=(end,),
        never_ids=never,
        max_tokens=max_tokens,
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=text,
        output=output,
        graphs=gpt_graphs(text, arguments),
        baked=(),
        network=Network("gpt", arguments),
    )


def gpt_graphs(text: PromptInput, arguments: dict[str, Any]) -> tuple[Graph, Graph]:
    """The two graphs of a `Gpt` with these arguments; see `train.networks.gpt.Gpt`."""
    rows, past = Dim(), Dim(1, arguments["context"] - 1)
    of_token = (arguments["layers"], arguments["heads"], arguments["width"] // arguments["heads"])

    def cache(name: str, extent: int | Dim) -> TensorInfo:
        return TensorInfo(name, "float32", (rows, extent, *of_token))

    length, vocabulary = Dim(1, text.max_tokens), arguments["vocabulary"]
    main = Graph(
        MAIN_GRAPH,
        text.tensors(),
        (
            TensorInfo(LOGITS, "float32", (rows, length, vocabulary)),
            cache(KEYS, length),
            cache(VALUES, length),
        ),
    )
    step = Graph(
        STEP,
        (
            TensorInfo(TOKEN, "int64", (rows, 1)),
            cache(KEYS, past),
            cache(VALUES, past),
            TensorInfo(LENGTH, "int64", (rows, 1)),
        ),
        (TensorInfo(LOGITS, "float32", (rows, vocabulary)), cache(KEY, 1), cache(VALUE, 1)),
    )
    return main, step


def _special_ids(packed: str) -> tuple[int, tuple[int, ...]]:
    """The token that ends a text, and those that are never written.

    Raises:
        DataError: The tokenizer has no token that ends a text.
    """
    opened = open_tokenizer(packed)
    ends = [found for name in _ENDS if (found := opened.token_to_id(name)) is not None]
    if not ends:
        raise DataError("Tokenizer", got="no token that ends a text", expected=f"one of {', '.join(_ENDS)}",
                        fix="Use the tokenizer that belongs to the network.")  # fmt: skip
    unknown = getattr(opened.model, "unk_token", None)
    never = None if unknown is None else opened.token_to_id(unknown)
    return ends[0], () if never is None or never == ends[0] else (never,)
