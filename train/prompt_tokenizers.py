"""Tokenizers for language models, learned from the text itself."""

from __future__ import annotations

from collections.abc import Sequence

from runtimes import DataError

END, UNKNOWN = "<|end|>", "<|unknown|>"
"""Special tokens: the first stands behind every document, the second for characters that are not known."""
BYTE_TOKENS = 256
CHARACTERS, BYTE_PAIRS = "characters", "bpe"
TOKENIZERS = (BYTE_PAIRS, CHARACTERS)


def character_tokenizer(texts: Sequence[str]) -> str:
    """A token per character of the texts.

    Returns:
        JSON of the `tokenizers` library.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    known = sorted(set().union(*texts))
    vocabulary = {token: at for at, token in enumerate([END, UNKNOWN, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END])
    return str(tokenizer.to_str())


def byte_pair_tokenizer(texts: Sequence[str], size: int) -> str:
    """Byte-level byte-pair encoding as GPT-2 has it, so that every text can be written in its tokens.

    Args:
        texts: What pairs are learned from.
        size: Tokens, the 256 bytes and the special one among them; fewer where the texts hold fewer pairs.

    Returns:
        JSON of the `tokenizers` library.

    Raises:
        DataError: The texts are empty.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if not any(texts):
        raise DataError("Training texts", got="nothing in them", expected="text", fix="Check the files.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())
