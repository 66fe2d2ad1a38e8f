"""Encoders of the BERT family: read from a directory, and built without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from runtimes import UsageError
from tests.texts import WORDS, word_tokenizer
from train.networks.bert import build, longest_text
from train.networks.freezing import layerwise
from train.networks.transformers_directory import read_directory

# The same operators in the same order: float32 differs by its last digits at most.
ROUNDING = 1e-6
SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 20, "vocab_size": len(WORDS), "pad_token_id": 0,
}  # fmt: skip
DISTILLED: dict[str, Any] = {
    "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20,
    "vocab_size": len(WORDS), "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as `transformers` saves it, under a head for masked words, which renames its weights."""
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**SMALL)).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(word_tokenizer(framed=True))
    return folder


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[2, 4, 6, 3], [2, 5, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def test_features_are_those_of_transformers(directory: Path) -> None:
    from transformers import BertForMaskedLM

    encoder = read_directory(directory)
    network = build(encoder.config, 2, pooling="first").eval()
    network.encoder.load_state_dict(encoder.state)
    ids, mask = inputs()
    theirs = BertForMaskedLM.from_pretrained(directory).eval().bert(ids, attention_mask=mask)[0]
    expected = network.classifier(theirs[:, 0])
    torch.testing.assert_close(network(ids, mask), expected, atol=ROUNDING, rtol=0)


def test_the_mean_leaves_padding_out(directory: Path) -> None:
    network = build(read_directory(directory).config, 2).eval()
    ids, mask = inputs()
    alone = network(ids[1:, :3], mask[1:, :3])
    torch.testing.assert_close(network(ids, mask)[1:], alone, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("family", "settings"),
    [("roberta", SMALL), ("distilbert", DISTILLED), ("electra", {**SMALL, "embedding_size": 16})],
    ids=["roberta", "distilbert", "electra"],
)
def test_others_of_the_family_are_built_too(family: str, settings: dict[str, Any]) -> None:
    network = build({"model_type": family, **settings}, 3).eval()
    ids, mask = inputs()
    assert network(ids, mask).shape == (2, 3)
    groups = layerwise(network, 0.5)
    assert [group.lr_scale for group in groups] == [0.125, 0.25, 0.5, 1.0]
    assert sum(len(group.parameters) for group in groups) == len(list(network.parameters()))


def test_roberta_has_fewer_positions_than_it_says() -> None:
    assert longest_text({"model_type": "bert", **SMALL}) == 20
    assert longest_text({"model_type": "roberta", **SMALL, "pad_token_id": 1}) == 18


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        ({"model_type": "t5"}, {}, "no encoder"),
        ({"model_type": "bert", **SMALL}, {"pooling": "last"}, "pooling 'last'"),
        ({"model_type": "no such"}, {}, "no such"),
    ],
    ids=["decoder", "pooling", "unknown"],
)
def test_what_is_no_encoder_is_refused(
    config: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(config, 2, **arguments)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "got no such folder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "got no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"none"), "expected a text encoder"),
        (lambda folder: (folder / "config.json").write_text("{"), "got a config.json that cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "got a tokenizer that cannot be read"),
        (
            lambda folder: (folder / "tokenizer.json").write_text(word_tokenizer([*WORDS, "more"])),
            "got a tokenizer with tokens up to 10 and a network for 10 of them",
        ),
    ],
    ids=["folder", "weights", "broken-weights", "config", "tokenizer", "vocabulary"],
)
def test_a_directory_that_cannot_be_used_is_refused_in_one_line(
    directory: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(directory, copy)
    spoil(copy)
    with pytest.raises(UsageError, match=message):
        read_directory(copy)


def test_the_configuration_is_plain_json_without_notes(directory: Path) -> None:
    config = read_directory(directory).config
    assert config["model_type"] == "bert"
    assert "transformers_version" not in config
    assert json.loads(json.dumps(config)) == config
