"""Prompts as arrays, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtimes import InputError, SpecError
from sdk.inputs.prompt import PromptInput
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS
from sdk.inputs.tokenizer import pack_tokenizer
from sdk.kinds import InputKind
from train.prompt_tokenizers import byte_pair_tokenizer, character_tokenizer

CONTEXT = 16


def _input(tokenizer: str, vocabulary: int, context: int = CONTEXT) -> PromptInput:
    return PromptInput(
        tokenizer=pack_tokenizer(tokenizer),
        vocabulary=vocabulary,
        max_tokens=context,
        max_chars=16 * context,
        truncation_side="left",
        padding_side="right",
        pad_id=0,
        lengths=(),
        buckets=(),
        inputs=(INPUT_IDS, ATTENTION_MASK),
        start_id=0,
    )


@pytest.fixture(scope="module")
def letters() -> PromptInput:
    """A token per character: 0 ends, 1 is unknown, then ``abcdefgh``."""
    return _input(character_tokenizer(["hgfedcba"]), 10)


def _ids(kind: PromptInput, item: object) -> list[int]:
    return kind.load(item).arrays[INPUT_IDS].tolist()


def test_prompt_is_its_tokens_and_nothing_else(letters: PromptInput) -> None:
    sample = letters.load("abc")
    assert sample.arrays[INPUT_IDS].tolist() == [2, 3, 4]
    assert (sample.source, sample.geometry) == ("abc", {"tokens": 3, "cut": False})
    assert sample.source.decode([4, 3, 2]) == "cba"


def test_empty_prompt_is_the_start_token(letters: PromptInput) -> None:
    assert _ids(letters, "") == [0]
    assert _ids(letters, b"") == [0]


def test_unknown_characters_are_the_unknown_token(letters: PromptInput) -> None:
    assert _ids(letters, "aZb") == [2, 1, 3]


def test_of_a_long_prompt_the_end_is_kept(letters: PromptInput) -> None:
    sample = letters.load("a" * 30 + "hhh")
    assert sample.arrays[INPUT_IDS].tolist() == [2] * (CONTEXT - 3) + [9] * 3
    assert sample.geometry["cut"]


def test_prompt_of_a_megabyte_costs_no_more_than_a_full_context(letters: PromptInput) -> None:
    sample = letters.load("ab" * 500_000 + "gh")
    assert len(sample.source) == letters.max_chars
    assert sample.arrays[INPUT_IDS].tolist()[-2:] == [8, 9]


def test_batch_is_padded_at_the_end(letters: PromptInput) -> None:
    arrays = letters.batch([letters.load("abc"), letters.load("h")], ())
    np.testing.assert_array_equal(arrays[INPUT_IDS], [[2, 3, 4], [9, 0, 0]])
    np.testing.assert_array_equal(arrays[ATTENTION_MASK], [[1, 1, 1], [1, 0, 0]])


def test_file_and_bytes_are_read_as_utf8(tmp_path: Path) -> None:
    kind = _input(byte_pair_tokenizer(["naïve"], 270), 270)
    (tmp_path / "prompt.txt").write_bytes("naïve 🙂".encode())
    assert _ids(kind, tmp_path / "prompt.txt") == _ids(kind, "naïve 🙂") == _ids(kind, "naïve 🙂".encode())
    with pytest.raises(InputError, match="byte 0xff at 1, which is no UTF-8"):
        kind.load(b"a\xff")


def test_golden_bytes_give_the_prompt_back(letters: PromptInput) -> None:
    sample = letters.load("gab")
    assert letters.load(letters.encode(sample.source)).source == "gab"


def test_spec_is_stored_and_read(letters: PromptInput) -> None:
    assert InputKind.from_json(letters.to_json(), "spec.input") == letters


def test_vocabulary_that_does_not_match_is_refused(letters: PromptInput) -> None:
    with pytest.raises(SpecError, match="10 tokens, expected at most 9, the rows of the network's embedding"):
        replace(letters, vocabulary=9).load("abc")


@pytest.mark.parametrize(
    "changed",
    [
        {"truncation_side": "right"},
        {"padding_side": "left"},
        {"inputs": (INPUT_IDS,)},
        {"start_id": 10},
    ],
    ids=str,
)
def test_specs_that_contradict_themselves_are_refused(
    letters: PromptInput, changed: dict[str, object]
) -> None:
    with pytest.raises(SpecError, match=f"spec.input.{next(iter(changed))}"):
        replace(letters, **changed)  # type: ignore[arg-type]
