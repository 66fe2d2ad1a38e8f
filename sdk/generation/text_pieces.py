"""From tokens to text as it grows: no half characters, and nothing that a stop string might take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_HALF = "\ufffd"
"""What a decoder shows for bytes that are no whole character yet."""
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8. What is still no character after as many tokens never becomes one."""


class TextPieces:
    """Decodes tokens one by one into pieces of text that can be shown at once.

    Args:
        decode: From token numbers to text.
        before: Tokens that the first one stands behind: some decoders join or space words by what precedes.
        stops: Strings at which the text ends; they are no part of it.
    """

    def __init__(
        self, decode: Callable[[list[int]], str], before: Sequence[int] = (), stops: Sequence[str] = ()
    ) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._tokens = list(before)[-_LONGEST_CHARACTER:]
        # Tokens before `_begin` are only context; those up to `_shown` are in the text already.
        self._begin, self._shown = 0, len(self._tokens)
        self._text = ""
        self._given = 0
        self.stopped = False

    @property
    def text(self) -> str:
        """Everything so far, without a stop string and what follows it."""
        return self._text

    def add(self, token: int) -> str:
        """What can be shown now that one more token is there; often empty."""
        self._tokens.append(token)
        self._take(last=False)
        return self._released(held=self._held())

    def end(self) -> str:
        """What was held back, now that nothing more comes."""
        if not self.stopped:
            self._take(last=True)
        return self._released(held=0)

    def _take(self, *, last: bool) -> None:
        """Move tokens that make whole characters into the text."""
        known = self._decode(self._tokens[self._begin : self._shown])
        whole = self._decode(self._tokens[self._begin :])
        waiting = len(self._tokens) - self._shown
        if whole.endswith(_HALF) and waiting < _LONGEST_CHARACTER and not last:
            return
        if waiting:
            self._text += whole[len(known) :]
            self._begin, self._shown = max(self._begin, self._shown - 1), len(self._tokens)
        ends = [at for at in (self._text.find(stop) for stop in self._stops) if at >= 0]
        if ends:
            self._text, self.stopped = self._text[: min(ends)], True

    def _held(self) -> int:
        """How much of the end might be the beginning of a stop string."""
        if self.stopped:
            return 0
        return max(
            (
                length
                for stop in self._stops
                for length in range(min(len(stop) - 1, len(self._text)), 0, -1)
                if self._text.endswith(stop[:length])
            ),
            default=0,
        )

    def _released(self, held: int) -> str:
        piece = self._text[self._given : max(self._given, len(self._text) - held)]
        self._given += len(piece)
        return piece
