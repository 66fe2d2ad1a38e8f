"""Continues a prompt, token by token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtimes import Array, UsageError
from sdk.generation.cache import CachedReader
from sdk.generation.sampling import Sampler, Sampling
from sdk.generation.text_pieces import TextPieces
from sdk.inputs.prompt import Prompt
from sdk.kinds import Call
from sdk.results.generated_text import END, LENGTH, STOP, GeneratedText

MOST_TOKENS = 1_000_000
"""That may be asked for: more is a slip of the finger."""


@dataclass(frozen=True)
class Writing:
    """What is to be written.

    Attributes:
        max_tokens: Most tokens.
        sampling: How they are drawn.
        stop: Strings at which the text ends; they are no part of it.
    """

    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole = isinstance(self.max_tokens, int) and not isinstance(self.max_tokens, bool)
        if not whole or not 1 <= self.max_tokens <= MOST_TOKENS:
            raise UsageError(
                "Option 'max_tokens'",
                got=repr(self.max_tokens),
                expected=f"a whole number from 1 to {MOST_TOKENS:,}",
                fix="Correct the value.",
            )
        if not all(isinstance(stop, str) and stop for stop in self.stop):
            raise UsageError(
                "Option 'stop'",
                got=repr(self.stop),
                expected="strings with something in them",
                fix="Correct it.",
            )


@dataclass(frozen=True)
class Language:
    """What a model may write.

    Attributes:
        context: Most tokens that it looks at.
        allowed: bool (V,), tokens that it may write.
        ends: Tokens that end a text.
    """

    context: int
    allowed: Array
    ends: frozenset[int]


class TextStream(Iterator[str]):
    """Pieces of a text as they are written: strings that end between characters.

    Args:
        call: Runs a graph.
        prompt: What is continued.
        ids: Its tokens.
        language: What may be written.
        writing: What is to be written.
    """

    def __init__(
        self, call: Call, prompt: Prompt, ids: list[int], *, language: Language, writing: Writing
    ) -> None:
        self._prompt = prompt
        self._written: list[float] = []
        self._reason = LENGTH
        self._pieces = TextPieces(prompt.decode, ids, writing.stop)
        self._work = self._write(call, ids, language, writing)

    def __next__(self) -> str:
        """The next piece, which is never empty."""
        return next(self._work)

    @property
    def prompt(self) -> str:
        """What is continued."""
        return str(self._prompt)

    @property
    def result(self) -> GeneratedText:
        """The finished text; what is not written yet is written now."""
        for _ in self._work:
            pass
        scores = self._written
        return GeneratedText(
            text=self._pieces.text,
            prompt=str(self._prompt),
            tokens=len(scores),
            score=sum(scores) / len(scores),
            finish_reason=self._reason,
            source=str(self._prompt),
        )

    def _write(self, call: Call, ids: list[int], language: Language, writing: Writing) -> Iterator[str]:
        reader = CachedReader(call, language.context)
        sampler = Sampler(writing.sampling, language.allowed)
        logits = reader.read([ids], writing.max_tokens)
        while True:
            token, score = sampler.choose(logits[0])
            self._written.append(score)
            if token in language.ends:
                self._reason = END
                break
            piece = self._pieces.add(token)
            if piece:
                yield piece
            if self._pieces.stopped:
                self._reason = STOP
                break
            if len(self._written) == writing.max_tokens:
                break
            logits = reader.step([token])
        piece = self._pieces.end()
        if piece:
            yield piece
