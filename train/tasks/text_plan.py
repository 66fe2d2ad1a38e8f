"""Network, loss and training set for one run of task ``text``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Dim, TensorInfo, UsageError
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS, TextInput
from sdk.inputs.tokenizer import pack_tokenizer, unpack_tokenizer
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.text_train_set import TextBatch, TextTrainSet
from train.data.vocabulary import PAD, UNKNOWN, id_of, learn_vocabulary, read_tokenizer, tokens_in
from train.losses import Loss, make_loss
from train.networks.freezing import ParameterGroup, freeze, layerwise
from train.options import TrainOptions
from train.plan import Plan
from train.sampling import LengthSampler
from train.start import inherited_facts
from train.tasks.base import Split, Splits
from train.tasks.class_plan import ValidationLoss, class_losses, class_weights
from train.tasks.text import BERT, DEFAULT_MAX_TOKENS, TextOptions

TOP_K = 5
CHARS_PER_TOKEN = 64
"""Characters of a text that are looked at, for each token that it may have: ten times what languages need."""
SHORTEST_BUCKET = 16
LSTM_WORD_DROPOUT = 0.1


def make_text_plan(task: str, options: TrainOptions, splits: Splits, start: Artifact | None) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        options: Of the run; their own part is `TextOptions`.
        splits: The data.
        start: Checkpoint whose spec and weights are taken as they are.

    Raises:
        DataError: A text cannot be tokenised.
        UsageError: The pretrained directory or the tokenizer cannot be used.
    """
    own: TextOptions = options.task_options
    if start is not None:
        spec, network = start.spec, load_network(start.program())
    elif options.model == BERT:
        spec, network = _pretrained(task, own, splits.train)
    else:
        spec, network = _fresh(task, options.model, own, splits.train)
    train_set = _train_set(splits.train, spec, options)
    weights = class_weights(np.asarray(splits.train.targets)) if own.weighted_sampling else None
    loss = make_loss(own.loss, own.label_smoothing)
    return Plan(
        spec=spec,
        network=network,
        groups=_groups(network, own),
        train_set=train_set,
        weights=weights,
        loss=_TrainingLoss(loss),
        validation_loss=ValidationLoss(loss),
        splits=splits,
        sampler=LengthSampler(train_set.lengths, options.seed, options.whole_batch_size, weights),
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={} if start is None else inherited_facts(start, keep_zeros=options.keep_zeros),
    )


def _pretrained(task: str, own: TextOptions, train: Split) -> tuple[Spec, nn.Module]:
    from train.networks.bert import longest_text
    from train.networks.transformers_directory import read_directory

    assert own.pretrained_from is not None, "the task asks for it"
    encoder = read_directory(own.pretrained_from)
    longest = longest_text(encoder.config)
    if own.max_tokens is not None and own.max_tokens > longest:
        raise UsageError("Option --max-tokens", got=str(own.max_tokens), expected=f"at most {longest}",
                         fix="The network has no positions beyond that.")  # fmt: skip
    text_input = TextInput(
        tokenizer=pack_tokenizer(encoder.tokenizer),
        vocabulary=int(encoder.config["vocab_size"]),
        **_lengths(own, own.max_tokens or min(DEFAULT_MAX_TOKENS, longest)),
        pad_id=int(encoder.config.get("pad_token_id") or 0),
        buckets=(),
    )
    arguments: dict[str, Any] = {"config": encoder.config, "pooling": own.pooling}
    if own.dropout is not None:
        arguments["dropout"] = own.dropout
    spec = _spec(task, text_input, train.labels, Network(BERT, arguments))
    network = build_network({"name": BERT, "arguments": spec.network.arguments})
    network.encoder.load_state_dict(encoder.state)
    return spec, network


def _fresh(task: str, model: str, own: TextOptions, train: Split) -> tuple[Spec, nn.Module]:
    if own.tokenizer is not None:
        tokenizer = read_tokenizer(own.tokenizer)
    else:
        tokenizer = learn_vocabulary(list(train.items), own.vocabulary, cased=own.cased)
    longest = own.max_tokens or DEFAULT_MAX_TOKENS
    text_input = TextInput(
        tokenizer=pack_tokenizer(tokenizer),
        vocabulary=tokens_in(tokenizer),
        **_lengths(own, longest),
        pad_id=id_of(tokenizer, PAD, "<pad>") or 0,
        buckets=buckets_up_to(longest),
    )
    given = {name: getattr(own, name) for name in ("embedding", "hidden", "layers", "dropout")}
    arguments = {name: value for name, value in given.items() if value is not None}
    arguments["vocabulary"] = text_input.vocabulary
    spec = _spec(task, text_input, train.labels, Network(model, arguments))
    return spec, build_network({"name": model, "arguments": spec.network.arguments})


def _lengths(own: TextOptions, longest: int) -> dict[str, Any]:
    return {
        "max_tokens": longest,
        "max_chars": CHARS_PER_TOKEN * longest,
        "truncation_side": own.truncate,
        "padding_side": "right",
        "lengths": (),
        "inputs": (INPUT_IDS, ATTENTION_MASK),
    }


def buckets_up_to(longest: int) -> tuple[int, ...]:
    """Lengths that a network is lowered to where the length must be fixed: doubling, up to `longest`."""
    found = []
    length = SHORTEST_BUCKET
    while length < longest:
        found.append(length)
        length *= 2
    return (*found, longest)


def _spec(task: str, text_input: TextInput, labels: tuple[str, ...], network: Network) -> Spec:
    scores = TensorInfo(SCORES, "float32", (Dim(), len(labels)))
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=text_input,
        output=ClassificationOutput(labels, "softmax", min(TOP_K, len(labels)), 1.0),
        graphs=(Graph(MAIN_GRAPH, text_input.tensors(), (scores,)),),
        baked=(),
        network=replace(network, arguments={**network.arguments, "classes": len(labels)}),
    )


def _train_set(train: Split, spec: Spec, options: TrainOptions) -> TextTrainSet:
    own: TextOptions = options.task_options
    text_input = spec.input
    assert isinstance(text_input, TextInput)
    dropout = own.word_dropout
    if dropout is None:
        dropout = 0.0 if options.model == BERT else LSTM_WORD_DROPOUT
    hidden = id_of(unpack_tokenizer(text_input.tokenizer), "[MASK]", "<mask>", UNKNOWN, "<unk>")
    return TextTrainSet(
        train.items,
        np.asarray(train.targets),
        text_input,
        hidden_id=text_input.pad_id if hidden is None else hidden,
        dropout=dropout,
    )


def _groups(network: nn.Module, own: TextOptions) -> list[ParameterGroup]:
    groups = layerwise(network, own.layer_decay) if own.layer_decay < 1 else freeze(network, own.freeze)
    return [replace(group, decay_all=own.decay_all) for group in groups]


class _TrainingLoss:
    """Loss and accuracy of a training batch."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, network: nn.Module, batch: TextBatch) -> dict[str, Tensor]:
        return class_losses(self._loss, network(*batch.inputs).float(), batch.targets)
