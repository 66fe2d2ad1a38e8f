"""Texts, tokenizers and tables for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS, TextInput
from sdk.inputs.tokenizer import pack_tokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "a", "the", "very")
GOOD, BAD = ("good", "fine", "great"), ("bad", "dull", "awful")
_FILLING = ("film", "plot", "a", "the", "very", "scene", "actor", "it")


def word_tokenizer(words: Sequence[str] = WORDS, *, framed: bool = False) -> str:
    """The JSON of a tokenizer for words between spaces; `framed`: with [CLS] before and [SEP] behind."""
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(words)},
            "unk_token": "[UNK]",
        },
    }
    if framed:
        tokenizer["post_processor"] = {
            "type": "BertProcessing",
            "sep": ["[SEP]", words.index("[SEP]")],
            "cls": ["[CLS]", words.index("[CLS]")],
        }
    return json.dumps(tokenizer)


def text_input(**changes: Any) -> TextInput:
    """A `TextInput` over `WORDS`."""
    fields: dict[str, Any] = {
        "tokenizer": pack_tokenizer(word_tokenizer()),
        "vocabulary": len(WORDS),
        "max_tokens": 8,
        "max_chars": 512,
        "truncation_side": "right",
        "padding_side": "right",
        "pad_id": 0,
        "lengths": (),
        "buckets": (),
        "inputs": (INPUT_IDS, ATTENTION_MASK),
    }
    return TextInput(**{**fields, **changes})


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Labels and texts of 3 to 10 words, one of which tells the class."""
    generator = np.random.default_rng(seed)
    rows = []
    for at in range(count):
        words = generator.choice(_FILLING, generator.integers(2, 10)).tolist()
        label, telling = ("positive", GOOD) if at % 2 else ("negative", BAD)
        words.insert(int(generator.integers(len(words) + 1)), str(generator.choice(telling)))
        rows.append((label, " ".join(words)))
    return rows


def write_reviews(folder: Path, train: int = 80, test: int = 40) -> Path:
    """A folder with ``train.tsv`` and ``test.tsv``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", train, 1), ("test", test, 2)):
        lines = [f"{label}\t{text}" for label, text in reviews(count, seed)]
        (folder / f"{name}.tsv").write_text("\n".join(["label\ttext", *lines]) + "\n", "utf-8")
    return folder
