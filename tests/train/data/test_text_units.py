"""Tokenizers of a data set's own."""

from __future__ import annotations

import pytest

from runtimes import DataError
from sdk.inputs.tokenizer import open_tokenizer
from train.data.text_units import PAD_ID, PADDING, UNKNOWN, make_tokenizer

TEXTS = ["On May 3rd, 2024", "on the 12th of may"]


def _tokens(units: str, text: str, *, lower_case: bool = True, most: int = 400) -> list[str]:
    packed, count = make_tokenizer(TEXTS, units, lower_case=lower_case, most=most)
    tokenizer = open_tokenizer(packed)
    assert tokenizer.get_vocab_size() == count
    assert tokenizer.token_to_id(PADDING) == PAD_ID
    return tokenizer.encode(text).tokens


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ("char", ["o", "n", " ", "m", "a", "y", "2"]),
        ("word", ["on", "may", "2"]),
        ("bpe", ["on", "Ġmay", "2"]),
    ],
    ids=["char", "word", "bpe"],
)
def test_text_is_read_in_its_units(units: str, wanted: list[str]) -> None:
    assert _tokens(units, "On may2") == wanted


def test_numbers_are_read_digit_by_digit() -> None:
    assert _tokens("word", "2024,") == ["2", "0", "2", "4", ","]


def test_what_was_never_seen_is_unknown_but_to_byte_pairs() -> None:
    assert _tokens("word", "on june") == ["on", UNKNOWN]
    assert _tokens("char", "ox") == ["o", UNKNOWN]
    assert UNKNOWN not in _tokens("bpe", "žluťoučký")


def test_case_is_kept_unless_told() -> None:
    assert _tokens("word", "ON", lower_case=False) == [UNKNOWN]
    assert _tokens("word", "ON") == ["on"]


def test_vocabulary_has_its_limit() -> None:
    assert make_tokenizer(TEXTS, "word", lower_case=True, most=5)[1] == 5


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="Training texts: got no tokens"):
        make_tokenizer([" ", ""], "word", lower_case=True, most=100)
