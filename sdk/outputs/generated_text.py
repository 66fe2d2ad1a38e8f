"""Generated text: what a language model writes behind a prompt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import MAIN_GRAPH, Array, SpecError, UsageError
from sdk.generation.cache import LOGITS, CachedReader
from sdk.generation.sampling import Sampling, log_softmax
from sdk.generation.text_pieces import TextPieces
from sdk.generation.writer import Language, TextStream, Writing
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS
from sdk.kinds import Call, OutputKind, Sample
from sdk.results.generated_text import END, LENGTH, GeneratedText, written_schema
from sdk.results.text_score import TextScore
from sdk.schemas import Schema

if TYPE_CHECKING:
    from sdk.predictor import Predictor

TOKENS, SCORES, LIKELIEST = "tokens", "scores", "likeliest"
NOTHING = -1
"""In place of a token where there is none."""


@dataclass(frozen=True)
class GeneratedTextOutput(OutputKind):
    """How a language model writes.

    Predicting takes the likeliest token `max_tokens` times, or until a text ends. `Predictor.generate` draws.

    Attributes:
        vocabulary: Tokens that there are; the network may have more numbers than that.
        context: Most tokens that the network looks at.
        end_ids: Tokens that end a text.
        never_ids: Tokens that are never written, such as the one for unknown characters.
        max_tokens: Most that a prediction writes.
    """

    kind: ClassVar[str] = "generated_text"
    bakeable: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[bool] = True

    vocabulary: int
    context: int
    end_ids: tuple[int, ...]
    never_ids: tuple[int, ...]
    max_tokens: int

    def __post_init__(self) -> None:
        _require("context", self.context, self.context >= 2, "at least 2")
        _require("max_tokens", self.max_tokens, self.max_tokens >= 1, "at least 1")
        for name in ("end_ids", "never_ids"):
            ids = getattr(self, name)
            inside = all(0 <= token < self.vocabulary for token in ids)
            _require(name, ids, inside, f"from 0 to {self.vocabulary - 1}")
        some = len({*self.end_ids, *self.never_ids}) < self.vocabulary
        _require("never_ids", self.never_ids, some, "at least one token that can be written")

    def run(self, call: Call, arrays: dict[str, Array]) -> dict[str, Array]:
        """Write greedily behind every prompt of a batch.

        Returns:
            ``tokens`` int64 (N, `max_tokens`), the one that ends a text among them and `NOTHING` behind it,
            and ``scores`` float32, the logarithm of each one's probability.
        """
        lengths = arrays[ATTENTION_MASK].sum(axis=1)
        texts = [row[:length].tolist() for row, length in zip(arrays[INPUT_IDS], lengths, strict=True)]
        tokens = np.full((len(texts), self.max_tokens), NOTHING, np.int64)
        scores = np.zeros(tokens.shape, np.float32)
        going = np.ones(len(texts), bool)
        reader = CachedReader(call, self.context)
        logits = reader.read(texts, self.max_tokens)
        for at in range(self.max_tokens):
            likely = log_softmax(logits)
            chosen = np.where(self._allowed(logits.shape[1]), likely, -np.inf).argmax(axis=1)
            tokens[going, at] = chosen[going]
            scores[going, at] = likely[np.arange(len(chosen)), chosen][going]
            going &= ~np.isin(chosen, self.end_ids)
            if not going.any() or at + 1 == self.max_tokens:
                break
            logits = reader.step(chosen.tolist())
        return {TOKENS: tokens, SCORES: scores}

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """Nothing is left to be done."""
        return dict(outputs)

    def measuring(self) -> OutputKind:
        """Texts are scored, not continued."""
        return TextScoring(self.context)

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """Largest difference of a token's probability, up to the first token that is another.

        Where two tokens are almost equally likely, rounding may choose the other one. Their probabilities are
        then almost equal too, and are compared; what is written behind them cannot be.
        """
        same = (outputs[TOKENS] == expected[TOKENS]).cumprod(axis=1)
        compared = np.concatenate([np.ones_like(same[:, :1]), same[:, :-1]], axis=1).astype(bool)
        # Not of their logarithms: of what hardly happens, engines differ in the third digit of those.
        found, wanted = (np.exp(scores.astype(np.float64)) for scores in (outputs[SCORES], expected[SCORES]))
        apart = np.abs(found - wanted)[compared]
        # NaN must not compare as small: nan > x is False.
        return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `GeneratedText` per sample."""
        rows = zip(outputs[TOKENS].tolist(), outputs[SCORES].tolist(), samples, strict=True)
        return [self._text(tokens, scores, sample) for tokens, scores, sample in rows]

    def generate(
        self,
        predictor: Predictor,
        what: Any,
        *,
        max_tokens: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        stop: str | Sequence[str] = (),
        stream: bool = False,
        **unknown: Any,
    ) -> Any:
        """Continue a prompt.

        Args:
            predictor: An open artifact.
            what: A prompt, as `PromptInput.load` takes it; a list of them gives a list, each drawn from the
                same seed.
            max_tokens: Most tokens; None is what a prediction writes.
            temperature: See `Sampling`; 0 takes the likeliest token.
            top_k: Likewise.
            top_p: Likewise.
            seed: Likewise.
            stop: A string, or several, at which the text ends.
            stream: Give an iterator of pieces of text, a `TextStream`, in place of the finished text.
            **unknown: Options of other kinds, which are refused.

        Returns:
            A `GeneratedText`, a list of them, or a `TextStream`.

        Raises:
            InputError: A prompt cannot be used.
            UsageError: An option makes no sense.
        """
        if unknown:
            raise UsageError(
                f"Option {next(iter(unknown))!r}",
                got="it for a language model",
                expected="max_tokens, temperature, top_k, top_p, seed, stop or stream",
                fix="Leave it out.",
            )
        writing = Writing(
            self.max_tokens if max_tokens is None else max_tokens,
            Sampling(temperature, top_k, top_p, seed),
            (stop,) if isinstance(stop, str) else tuple(stop),
        )
        if not predictor.spec.input.is_list(what):
            text = self._stream(predictor, what, writing)
            return text if stream else text.result
        if stream:
            raise UsageError("Option 'stream'", got="it for a list of prompts", expected="one prompt",
                             fix="Call generate() once for each.")  # fmt: skip
        return [self._stream(predictor, prompt, writing).result for prompt in what]

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        return written_schema()

    def features(self, result: Any) -> dict[str, float | str]:
        """How much was written, how surely, and why it ended."""
        from sdk.monitor.features import written_features  # not needed to predict

        return written_features(result.text, result.tokens, result.score, result.finish_reason)

    def _stream(self, predictor: Predictor, prompt: Any, writing: Writing) -> TextStream:
        sample = predictor.spec.input.load(prompt)
        rows = predictor.spec.graph().outputs[0].shape[-1]
        assert isinstance(rows, int)
        language = Language(self.context, self._allowed(rows), frozenset(self.end_ids))

        def call(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
            return predictor.run(arrays, name)

        ids = sample.arrays[INPUT_IDS].tolist()
        return TextStream(call, sample.source, ids, language=language, writing=writing)

    def _allowed(self, rows: int) -> Array:
        """Which of the network's tokens may be written: bool (rows,)."""
        allowed = np.arange(rows) < self.vocabulary
        allowed[list(self.never_ids)] = False
        return allowed

    def _text(self, tokens: list[int], scores: list[float], sample: Sample) -> GeneratedText:
        written = [token for token in tokens if token != NOTHING]
        ended = written[-1] in self.end_ids
        pieces = TextPieces(sample.source.decode, sample.arrays[INPUT_IDS].tolist())
        for token in written[:-1] if ended else written:
            pieces.add(token)
        pieces.end()
        return GeneratedText(
            text=pieces.text,
            prompt=str(sample.source),
            tokens=len(written),
            score=sum(scores[: len(written)]) / len(written),
            finish_reason=END if ended else LENGTH,
            source=str(sample.source),
        )


@dataclass(frozen=True)
class TextScoring(OutputKind):
    """How likely a language model finds the tokens of a text that is there, for metrics.

    Attributes:
        context: Most tokens that the network looks at.
    """

    kind: ClassVar[str] = "text_scores"
    bakeable: ClassVar[tuple[str, ...]] = ()

    context: int

    def run(self, call: Call, arrays: dict[str, Array]) -> dict[str, Array]:
        """Score every token but the first, which has nothing before it.

        Returns:
            ``tokens`` int64 (N, context), `NOTHING` at the first and behind the last; ``scores`` float32, the
            logarithm of each one's probability; ``likeliest`` int64, the token that the model expected.
        """
        ids, there = arrays[INPUT_IDS], arrays[ATTENTION_MASK].astype(bool)
        likely = log_softmax(call(MAIN_GRAPH, arrays)[LOGITS].reshape(ids.size, -1))
        expected = likely.argmax(axis=1).reshape(ids.shape)
        scores = likely.reshape(*ids.shape, -1)[:, :-1]
        found = np.take_along_axis(scores, ids[:, 1:, None], axis=2)[:, :, 0]
        length = ids.shape[1]
        tokens, likeliest = (np.full((len(ids), self.context), NOTHING, np.int64) for _ in range(2))
        logarithms = np.zeros(tokens.shape, np.float32)
        known = there[:, 1:]
        tokens[:, 1:length] = np.where(known, ids[:, 1:], NOTHING)
        likeliest[:, 1:length] = np.where(known, expected[:, :-1], NOTHING)
        logarithms[:, 1:length] = np.where(known, found, 0.0)
        return {TOKENS: tokens, SCORES: logarithms, LIKELIEST: likeliest}

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """Nothing is left to be done."""
        return dict(outputs)

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `TextScore` per sample."""
        found = []
        for row, sample in enumerate(samples):
            there = outputs[TOKENS][row] != NOTHING
            found.append(
                TextScore(
                    scores=outputs[SCORES][row][there],
                    likeliest=outputs[LIKELIEST][row][there],
                    source=str(sample.source),
                )
            )
        return found


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
