"""A vocabulary of words from training texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes import UsageError
from runtimes.errors import first_line

PAD, UNKNOWN = "[PAD]", "[UNK]"
_FEWEST = 2
"""A word that is there once teaches its embedding nothing that would help with another text."""


def learn_vocabulary(texts: Sequence[str], size: int, *, cased: bool) -> str:
    """The JSON of a tokenizer for the words, and single punctuation marks, that texts use most.

    Args:
        texts: Training texts. The same texts give the same vocabulary.
        size: Most tokens, with those for padding (0) and for unknown words (1).
        cased: Keep capitals and accents.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))  # type: ignore[call-arg]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=_FEWEST, special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())


def read_tokenizer(path: Path) -> str:
    """The JSON in a ``tokenizer.json``.

    Raises:
        UsageError: It is none.
    """
    from tokenizers import Tokenizer

    try:
        return str(Tokenizer.from_str(path.read_text("utf-8")).to_str())
    except Exception as error:  # the library raises plain Exception
        raise UsageError(
            f"Tokenizer {path.name!r}",
            got=first_line(error)[:160],
            expected="a tokenizer.json of the tokenizers library",
            fix="Check --tokenizer.",
        ) from error


def id_of(tokenizer: str, *names: str) -> int | None:
    """The number of the first of some tokens that a tokenizer has."""
    from tokenizers import Tokenizer

    known = Tokenizer.from_str(tokenizer)
    return next((found for found in map(known.token_to_id, names) if found is not None), None)


def tokens_in(tokenizer: str) -> int:
    """How many embeddings a tokenizer needs: its highest number and one more."""
    from tokenizers import Tokenizer

    return int(max(Tokenizer.from_str(tokenizer).get_vocab().values())) + 1
