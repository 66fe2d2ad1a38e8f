"""A language model without weights, whose next token needs everything that was read before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtimes import Array
from sdk.generation.cache import KEY, KEYS, LENGTH, LOGITS, STEP, TOKEN, VALUE, VALUES

VOCABULARY = 17


class Remembering:
    """Answers with the sum of all tokens times their places (from 1), modulo the vocabulary.

    Keys hold tokens, values hold places: a cache that is shifted, short or another text's shows at once.
    """

    def __init__(self, context: int) -> None:
        self.context = context
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def __call__(self, name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return self._step(arrays) if name == STEP else self._read(arrays)

    def _read(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        ids, mask = arrays["input_ids"], arrays["attention_mask"]
        self.calls.append(("main", ids.shape))
        assert ids.shape[1] <= self.context
        places = np.broadcast_to(np.arange(1, ids.shape[1] + 1), ids.shape)
        answer = np.cumsum(ids * places * mask, axis=1) % VOCABULARY
        return {
            LOGITS: _logits(answer),
            KEYS: _cache(ids * mask),
            VALUES: _cache(places * mask),
        }

    def _step(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        token, length = arrays[TOKEN], arrays[LENGTH]
        past = arrays[KEYS].shape[1]
        self.calls.append((STEP, (len(token), past)))
        assert past < self.context
        assert (length <= past).all()
        there = np.arange(past)[None] < length
        keys, values = (arrays[name][:, :, 0, 0, 0] for name in (KEYS, VALUES))
        before = (keys * values * there).sum(axis=1, keepdims=True)
        place = length + 1
        return {
            LOGITS: _logits((before + token * place) % VOCABULARY)[:, 0],
            KEY: _cache(token),
            VALUE: _cache(place),
        }


def continuation(text: list[int], count: int) -> list[int]:
    """What `Remembering` writes greedily, worked out from the whole text each time."""
    text, start = list(text), len(text)
    for _ in range(count):
        text.append(sum(place * token for place, token in enumerate(text, 1)) % VOCABULARY)
    return text[start:]


def _logits(answer: Array) -> Array:
    """Logits whose largest is at `answer`, float32 (…, V)."""
    answer = answer.astype(np.int64)
    return (8.0 * np.eye(VOCABULARY)[answer]).astype(np.float32)


def _cache(numbers: Array) -> Array:
    return numbers.astype(np.float32)[:, :, None, None, None]
