"""Tokenizers of a data set's own: what a network without a ready-made vocabulary reads texts as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtimes import DataError
from sdk.inputs.tokenizer import pack_tokenizer

UNITS = ("char", "word", "bpe")
PADDING, UNKNOWN = "<pad>", "<unknown>"
PAD_ID = 0
"""The first token of every tokenizer made here."""


def make_tokenizer(texts: Sequence[str], units: str, *, lower_case: bool, most: int) -> tuple[str, int]:
    """Learn a vocabulary.

    Args:
        texts: That it is learned from.
        units: ``char``; ``word``, with every digit and every run of punctuation a token of its own; or
            ``bpe`` (byte pairs, Sennrich et al. 2016), which knows no unknown.
        lower_case: Whether texts are read in lower case.
        most: Largest vocabulary.

    Returns:
        The tokenizer, packed as a spec holds it, and its number of tokens. `PAD_ID` is padding.

    Raises:
        DataError: There is nothing to learn from.
    """
    tokenizer, trainer = _parts(units, most)
    if lower_case:
        from tokenizers import normalizers

        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.train_from_iterator(texts, trainer)
    count = tokenizer.get_vocab_size()
    if count <= len((PADDING, UNKNOWN)):
        raise DataError("Training texts", got="no tokens", expected="texts with something in them",
                        fix="Check the data.")  # fmt: skip
    return pack_tokenizer(tokenizer.to_str()), count


def _parts(units: str, most: int) -> tuple[Any, Any]:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    told = {"vocab_size": most, "special_tokens": [PADDING, UNKNOWN], "show_progress": False}
    if units == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return tokenizer, trainers.BpeTrainer(initial_alphabet=alphabet, **told)
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    if units == "char":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
        )
    return tokenizer, trainers.WordLevelTrainer(**told)
