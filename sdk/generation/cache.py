"""The cache of keys and values between the graphs of a language model."""

from __future__ import annotations

import numpy as np

from runtimes import MAIN_GRAPH, Array
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS
from sdk.kinds import Call

LOGITS, KEYS, VALUES = "logits", "keys", "values"
STEP, TOKEN, LENGTH, KEY, VALUE = "step", "token", "length", "key", "value"
"""Names of the second graph, of its inputs and of its outputs; see `train.networks.gpt.Gpt`."""


class CachedReader:
    """Reads texts token by token; what was read is kept as keys and values, not read again.

    When a text fills the context, its older half is forgotten: the newer half is read anew, since positions
    are part of what is cached.

    Args:
        call: Runs a graph.
        context: Most tokens that the network looks at.
    """

    def __init__(self, call: Call, context: int) -> None:
        self._call = call
        self._context = context
        self._texts: list[list[int]] = []
        self._keys: Array
        self._values: Array

    def read(self, texts: list[list[int]], room: int) -> Array:
        """Read whole texts, the first thing to be done.

        Args:
            texts: Token numbers of each, at least one; of one that leaves no room, the end is read.
            room: For how many more tokens there shall be room without forgetting, if half of the context
                can give it.

        Returns:
            Logits of the token after each, float32 (N, V).
        """
        keep = self._context - min(room, self._context // 2)
        self._texts = [text[-keep:] for text in texts]
        outputs = self._call(MAIN_GRAPH, padded(self._texts))
        most = min(self._context, max(map(len, self._texts)) + room)
        self._keys, self._values = (_grown(outputs[name], most) for name in (KEYS, VALUES))
        last = np.array([len(text) - 1 for text in self._texts])
        logits: Array = outputs[LOGITS][np.arange(len(last)), last]
        return logits

    def step(self, tokens: list[int]) -> Array:
        """Read one more token of each text.

        Args:
            tokens: One for each text.

        Returns:
            Logits of the token after it, float32 (N, V).
        """
        for row, text in enumerate(self._texts):
            if len(text) >= self._keys.shape[1]:
                self._make_room(row)
        lengths = np.array([[len(text)] for text in self._texts], np.int64)
        longest = int(lengths.max())
        outputs = self._call(
            STEP,
            {
                TOKEN: np.array(tokens, np.int64)[:, None],
                # Of one text, this is a view of memory in order: nothing is copied.
                KEYS: self._keys[:, :longest],
                VALUES: self._values[:, :longest],
                LENGTH: lengths,
            },
        )
        for row, (text, token) in enumerate(zip(self._texts, tokens, strict=True)):
            self._keys[row, len(text)] = outputs[KEY][row, 0]
            self._values[row, len(text)] = outputs[VALUE][row, 0]
            text.append(token)
        return outputs[LOGITS]

    def _make_room(self, row: int) -> None:
        """Let the buffers grow; where they are as long as the context, forget half of one text."""
        length = self._keys.shape[1]
        if length < self._context:
            most = min(self._context, 2 * length)
            self._keys, self._values = _grown(self._keys, most), _grown(self._values, most)
            return
        self._texts[row] = self._texts[row][-(self._context // 2) :]
        outputs = self._call(MAIN_GRAPH, padded([self._texts[row]]))
        kept = len(self._texts[row])
        self._keys[row, :kept], self._values[row, :kept] = outputs[KEYS][0], outputs[VALUES][0]


def padded(texts: list[list[int]]) -> dict[str, Array]:
    """Inputs of the first graph for texts of several lengths."""
    longest = max(map(len, texts))
    ids, mask = (np.zeros((len(texts), longest), np.int64) for _ in range(2))
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {INPUT_IDS: ids, ATTENTION_MASK: mask}


def _grown(cache: Array, most: int) -> Array:
    """A cache (N, P, …) with room for `most` tokens."""
    if cache.shape[1] >= most:
        return cache
    grown = np.zeros((cache.shape[0], most, *cache.shape[2:]), cache.dtype)
    grown[:, : cache.shape[1]] = cache
    return grown
