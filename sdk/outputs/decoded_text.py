"""Decoded text: an encoder reads a whole text once, and a decoder writes another, token by token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import MAIN_GRAPH, Array, EngineError, SpecError, TensorInfo, UsageError
from sdk.inputs.text import ATTENTION_MASK, OFFSETS
from sdk.kinds import Call, InputKind, OutputKind, Sample
from sdk.outputs.decoding import Rules, State, search
from sdk.results.generated_text import END, LENGTH, Alternative, Attention, GeneratedText, written_schema
from sdk.schemas import Schema

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.spec import Graph

STEP_GRAPH = "step"
MEMORY, KEYS, HIDDEN, CELL = "memory", "keys", "hidden", "cell"
"""What the encoder gives: what is attended to, how it is found, and what the decoder starts from."""
TOKEN, LOGITS, LOOKED, NEXT = "token", "logits", "looked", "next_"
"""Further arrays of the step graph: in, out, out, and the prefix of the state behind a step."""
TOKENS, SCORES, PROBABILITIES, MARGINS, ATTENTION = (
    "tokens",
    "scores",
    "probabilities",
    "margins",
    "attention",
)
"""What `DecodedTextOutput.run` gives; see `sdk.outputs.decoding.Found`."""
MOST_BEAMS = 64


@dataclass(frozen=True)
class DecodedTextOutput(OutputKind):
    """How a text is decoded from another.

    The graph ``main`` is the encoder; ``step`` takes a token and the decoder's state and gives the logits of
    the next token and the next state. The search between them runs in numpy, the same for every runtime.

    Attributes:
        tokens: The text of every token, in the order of the logits; those of `start` and `end` are names.
        joiner: What stands between tokens: nothing for characters, a blank for words.
        start: Number of the token that the decoder is given first.
        end: Number of the token that ends a text.
        max_tokens: Most tokens that are written, the end among them.
        max_read: Most tokens that are read.
        beams: Texts that are weighed side by side; 1 is greedy.
        length_penalty: See `sdk.outputs.decoding.Rules`.
    """

    kind: ClassVar[str] = "decoded_text"
    bakeable: ClassVar[tuple[str, ...]] = ()

    tokens: tuple[str, ...]
    joiner: str
    start: int
    end: int
    max_tokens: int
    max_read: int
    beams: int
    length_penalty: float

    def __post_init__(self) -> None:
        known = range(len(self.tokens))
        _require("start", self.start, self.start in known, f"a number below {len(self.tokens)}")
        other = self.end in known and self.end != self.start
        _require("end", self.end, other, f"another number below {len(self.tokens)} than start")
        for name in ("max_tokens", "max_read"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require("beams", self.beams, 1 <= self.beams <= MOST_BEAMS, f"1 to {MOST_BEAMS}")
        _require("length_penalty", self.length_penalty, self.length_penalty >= 0, "at least 0")

    def run(self, call: Call, arrays: dict[str, Array]) -> dict[str, Array]:
        """Encode once, then search token by token.

        Args:
            call: Runs the graphs ``main`` and ``step``.
            arrays: What the encoder takes; ``attention_mask`` int64 (N, T) is among it.

        Returns:
            By the names of `TOKENS` and so on, B beams of up to M tokens each; attention is (N, M, max_read).
        """
        encoded = call(MAIN_GRAPH, arrays)
        mask = arrays[ATTENTION_MASK]
        fixed = {MEMORY: encoded[MEMORY], KEYS: encoded[KEYS], ATTENTION_MASK: mask}
        spread = {name: np.repeat(array, self.beams, axis=0) for name, array in fixed.items()}

        def step(last: Array, state: State) -> tuple[Array, Array, State]:
            found = call(STEP_GRAPH, {TOKEN: last, **state, **spread})
            return found[LOGITS], found[LOOKED], {name: found[NEXT + name] for name in (HIDDEN, CELL)}

        begun = {name: encoded[name] for name in (HIDDEN, CELL)}
        found = search(step, begun, len(mask), mask.shape[1], self._rules)
        beyond = self.max_read - mask.shape[1]
        return {
            TOKENS: found.tokens,
            SCORES: found.scores,
            PROBABILITIES: found.probabilities,
            MARGINS: found.margins,
            # As wide for every batch, so that the answers of several can be put together.
            ATTENTION: np.pad(found.attention, ((0, 0), (0, 0), (0, max(0, beyond)))),
        }

    def variants(self, graph: Graph, fed: InputKind) -> tuple[Graph, ...]:
        """The step graph at each length that the encoder comes in; see `TextInput.buckets`."""
        lengths: tuple[int, ...] = getattr(fed, "buckets", ())
        return tuple(_at_length(graph, length) for length in lengths)

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """What `run` gave."""
        return dict(outputs)

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """The largest difference of a probability along the best texts, as far as they are the same.

        Where two texts part, what counts is the margin by which either was chosen: one that nearly fell the
        other way is not far from it.
        """
        found, wanted = (side[TOKENS][:, 0] for side in (outputs, expected))
        written = np.arange(wanted.shape[1])
        apart = found != wanted
        parting = np.where(apart.any(axis=1), apart.argmax(axis=1), len(written))[:, None]
        moved = np.abs(outputs[PROBABILITIES].astype(np.float64) - expected[PROBABILITIES])
        missed = np.maximum(outputs[MARGINS], expected[MARGINS])
        differences = np.where(written < parting, moved, np.where(written == parting, missed, 0.0))
        return float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0))

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `GeneratedText` per sample.

        Raises:
            EngineError: A probability is NaN: the model, or its precision, is broken.
        """
        if np.isnan(outputs[PROBABILITIES]).any() or np.isnan(outputs[SCORES]).any():
            raise EngineError(
                f"Output {PROBABILITIES!r}",
                got="NaN",
                expected="numbers",
                fix="Export in fp32, or train again: the network overflows.",
            )
        return [self._result(outputs, row, sample) for row, sample in enumerate(samples)]

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        return written_schema()

    def features(self, result: Any) -> dict[str, float | str]:
        """How much was written, how surely, and why it ended."""
        from sdk.monitor.features import written_features  # not needed to predict

        return written_features(result.text, result.tokens, result.score, result.finish_reason)

    def generate(self, predictor: Predictor, what: Any, **options: Any) -> Any:
        """Decode with other settings than the artifact's own.

        Args:
            predictor: Of this kind.
            what: A text, or a list of them.
            **options: ``beams``, ``length_penalty`` and ``max_tokens``.

        Returns:
            A `GeneratedText`, or a list of them.

        Raises:
            UsageError: An option is unknown or makes no sense.
        """
        kind = self._told(options)
        several = predictor.spec.input.is_list(what)
        results: list[Any] = []
        items = list(what) if several else [what]
        for start in range(0, len(items), predictor.batch_size):
            arrays, samples = predictor.prepare(items[start : start + predictor.batch_size])
            outputs = kind.run(lambda name, fed: predictor.run(fed, graph=name), arrays)
            results += kind.read(outputs, samples)
        return results if several else results[0]

    @property
    def _rules(self) -> Rules:
        return Rules(self.start, self.end, self.max_tokens, self.beams, self.length_penalty)

    def _told(self, options: Mapping[str, Any]) -> DecodedTextOutput:
        known = ("beams", "length_penalty", "max_tokens")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise UsageError(f"Option '{unknown[0]}'", got="it for a decoder", expected=f"some of {known}",
                             fix="Leave it out.")  # fmt: skip
        try:
            return replace(self, **options)
        except (SpecError, TypeError) as error:
            subject, got = getattr(error, "subject", "options"), getattr(error, "got", str(error))
            raise UsageError(
                f"Option '{subject.rpartition('.')[2]}'",
                got=got,
                expected=getattr(error, "expected", "a number"),
                fix="Correct the value.",
            ) from error

    def _result(self, outputs: Mapping[str, Array], row: int, sample: Sample) -> GeneratedText:
        texts = [self._words(tokens) for tokens in outputs[TOKENS][row]]
        scores = outputs[SCORES][row].tolist()
        ended = bool((outputs[TOKENS][row, 0] == self.end).any())
        others = zip(texts[1:], scores[1:], strict=True)
        written = (*texts[0], *(["<end>"] if ended else []))
        spans = sample.arrays[OFFSETS]
        weights = outputs[ATTENTION][row, : len(written), : len(spans)].copy()
        weights.setflags(write=False)
        return GeneratedText(
            text=self.joiner.join(texts[0]),
            prompt=sample.source,
            tokens=len(written),
            score=scores[0],
            finish_reason=END if ended else LENGTH,
            alternatives=tuple(
                Alternative(self.joiner.join(words), score) for words, score in others if np.isfinite(score)
            ),
            attention=Attention(weights, written, tuple(sample.source[a:b] for a, b in spans.tolist())),
            source=sample.source,
        )

    def _words(self, tokens: Array) -> list[str]:
        """The tokens before the end as text."""
        words = []
        for token in tokens.tolist():
            if token == self.end:
                break
            words.append(self.tokens[token])
        return words


def _at_length(graph: Graph, length: int) -> Graph:
    """The step graph for a memory of so many tokens."""

    def fixed(info: TensorInfo) -> TensorInfo:
        reads = info.name in (MEMORY, KEYS, ATTENTION_MASK, LOOKED)
        return replace(info, shape=(info.shape[0], length, *info.shape[2:])) if reads else info

    return replace(
        graph,
        name=f"{graph.name}@{length}",
        inputs=tuple(fixed(info) for info in graph.inputs),
        outputs=tuple(fixed(info) for info in graph.outputs),
    )


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
