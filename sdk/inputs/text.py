"""Texts: from a string to the token numbers that a network takes."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, Dim, InputError, SpecError, TensorInfo
from sdk.inputs.text_files import decode_text, texts_named
from sdk.inputs.tokenizer import describe_tokenizer, open_tokenizer
from sdk.kinds import InputKind, Sample
from sdk.schemas import TEXT, Schema

if TYPE_CHECKING:
    from sdk.spec import Graph

INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS = "input_ids", "attention_mask", "token_type_ids"
TENSORS = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)
OFFSETS = "offsets"
"""Where in the text each token stands: an array of a sample that no graph takes, int64 (T, 2), for results
that say what was read."""
SIDES = ("right", "left")


@dataclass(frozen=True)
class TextInput(InputKind):
    """How texts are fed.

    A text longer than `max_chars` is cut to so many characters before it is tokenised, and to `max_tokens`
    tokens after it: a text of any size costs no more than one of that size. A blank text is refused. Texts
    that share a call are padded to the longest of them, or to the next of `lengths`.

    Attributes:
        tokenizer: The tokenizer's JSON; see `sdk.inputs.tokenizer.pack_tokenizer`.
        vocabulary: Rows of the network's embedding; no token may have a higher number than the last of them.
        max_tokens: Most tokens of a text, special ones among them.
        max_chars: Most characters that are looked at.
        truncation_side: Which end of a long text is cut off: ``right`` or ``left``.
        padding_side: Where padding goes: ``right`` or ``left``.
        pad_id: Token that fills short texts up.
        lengths: The only lengths in tokens, rising, that the graph takes; none for any up to `max_tokens`.
        buckets: Lengths that this model is lowered to where an engine cannot leave the length open; none
            where every engine can.
        inputs: Which of `TENSORS` the graph takes, in its order; each is int64 (N, T).
    """

    kind: ClassVar[str] = "text"
    bakeable: ClassVar[tuple[str, ...]] = ()
    media_types: ClassVar[tuple[str, ...]] = ("text/plain", "application/octet-stream")

    tokenizer: str = field(repr=False)
    vocabulary: int
    max_tokens: int
    max_chars: int
    truncation_side: str
    padding_side: str
    pad_id: int
    lengths: tuple[int, ...]
    buckets: tuple[int, ...]
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        _require("max_tokens", self.max_tokens, self.max_tokens >= 1, "at least 1")
        _require("max_chars", self.max_chars, self.max_chars >= 1, "at least 1")
        _require("truncation_side", self.truncation_side, self.truncation_side in SIDES, f"one of {SIDES}")
        _require("padding_side", self.padding_side, self.padding_side in SIDES, f"one of {SIDES}")
        in_range = 0 <= self.pad_id < self.vocabulary
        _require("pad_id", self.pad_id, in_range, f"from 0 to {self.vocabulary - 1}")
        known = set(self.inputs) <= set(TENSORS) and len(set(self.inputs)) == len(self.inputs)
        _require("inputs", self.inputs, known and INPUT_IDS in self.inputs, f"some of {TENSORS}, each once")
        for name in ("lengths", "buckets"):
            steps = getattr(self, name)
            holds = list(steps) == sorted(set(steps)) and (not steps or steps[-1] == self.max_tokens)
            _require(name, steps, holds, f"rising lengths, the last {self.max_tokens}")

    def described(self) -> dict[str, Any]:
        """Every field, the tokenizer in a few words."""
        return {**self.to_json(), "tokenizer": describe_tokenizer(self.tokenizer)}

    def tensors(self) -> tuple[TensorInfo, ...]:
        """The graph inputs that this kind makes, with open batch and length."""
        extent = Dim(1, self.max_tokens)
        return tuple(TensorInfo(name, "int64", (Dim(), extent)) for name in self.inputs)

    def load(self, item: Any) -> Sample:
        """Tokenise one text.

        Args:
            item: A string, UTF-8 bytes, or a path (`os.PathLike`) of a UTF-8 file.

        Returns:
            int64 (T,) per graph input, 1 <= T <= `max_tokens`. Its geometry tells how many ``tokens`` there
            are and whether the text was ``cut``.

        Raises:
            InputError: It cannot be read, is no UTF-8, or has nothing in it.
            EngineMissingError: The `tokenizers` library is not installed.
        """
        whole = decode_text(item)
        text = self._within_chars(whole)
        encoding = self._tokenizer().encode(text)
        ids = np.array(encoding.ids, np.int64)
        if not text.strip() or all(encoding.special_tokens_mask):
            raise InputError(
                "Text",
                got="nothing but blanks" if not text.strip() else "nothing that the tokenizer knows to read",
                expected="at least one word",
                fix="Leave empty texts out.",
            )
        given = {
            INPUT_IDS: ids,
            ATTENTION_MASK: np.ones_like(ids),
            TOKEN_TYPE_IDS: np.array(encoding.type_ids, np.int64),
        }
        cut = len(text) < len(whole) or bool(encoding.overflowing)
        arrays = {name: given[name] for name in self.inputs}
        arrays[OFFSETS] = np.array(encoding.offsets, np.int64)
        return Sample(arrays, text, {"tokens": len(ids), "cut": cut})

    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """int64 (N, T) per graph input, padded to the longest text or to the next of `lengths`."""
        length = self.padded_length(max(len(sample.arrays[INPUT_IDS]) for sample in samples))
        stacked = {}
        for name in self.inputs:
            rows = np.full((len(samples), length), self.pad_id if name == INPUT_IDS else 0, np.int64)
            for row, sample in zip(rows, samples, strict=True):
                values = sample.arrays[name]
                begin = 0 if self.padding_side == "right" else length - len(values)
                row[begin : begin + len(values)] = values
            stacked[name] = rows
        return stacked

    def padded_length(self, tokens: int) -> int:
        """What a call with a text of so many tokens is padded to."""
        return next((length for length in self.lengths if length >= tokens), tokens)

    def from_json_item(self, value: Any) -> Any:
        """A text stands for itself, never for a file's name."""
        if not isinstance(value, str):
            raise InputError(
                "Text",
                got=f"JSON of type {type(value).__name__}",
                expected="a string",
                fix='Send {"items": ["…"]}.',
            )
        return value

    def json_schema(self) -> Schema:
        """See `from_json_item`."""
        return TEXT

    def together(self, sample: Sample) -> Hashable:  # noqa: ARG002
        """Texts of any lengths share a batch: the shorter ones are padded."""
        return ()

    def features(self, sample: Sample) -> dict[str, float]:
        """How the text is made, and how well the vocabulary fits it: ``tokens``, ``tokens_per_word`` and,
        where the tokenizer has such a token, the share that is ``unknown``.
        """
        from sdk.monitor.features import text_features  # not needed to predict

        found, ids = text_features(sample.source), sample.arrays[INPUT_IDS]
        found["tokens"] = float(len(ids))
        found["tokens_per_word"] = len(ids) / max(1.0, found["words"])
        found["cut"] = float(sample.geometry["cut"])
        tokenizer = self._tokenizer()
        unknown = getattr(tokenizer.model, "unk_token", None)
        if unknown is not None:
            found["unknown"] = float((ids == tokenizer.token_to_id(unknown)).mean())
        return found

    def is_list(self, item: Any) -> bool:
        """Lists and tuples are several texts."""
        return isinstance(item, (list, tuple))

    def encode(self, source: Any) -> bytes:
        """The text in UTF-8."""
        return str(source).encode()

    def variants(self, graph: Graph) -> tuple[Graph, ...]:
        """`graph` at each of `buckets`."""
        return tuple(
            replace(graph, name=f"{graph.name}@{length}", inputs=_fixed(graph.inputs, length))
            for length in self.buckets
        )

    def for_variants(self) -> TextInput:
        """The same for a graph that takes the lengths of `buckets` only."""
        return replace(self, lengths=self.buckets)

    def named(self, words: Sequence[str], *, lines: bool = False) -> list[tuple[str, Any]]:
        """Files that are there, the files of folders, or their lines; any other word is a text itself."""
        return texts_named(words, lines=lines)

    def contents(self, item: Any) -> bytes:
        """The text in UTF-8."""
        return decode_text(item).encode()

    def _within_chars(self, text: str) -> str:
        if len(text) <= self.max_chars:
            return text
        return text[: self.max_chars] if self.truncation_side == "right" else text[-self.max_chars :]

    def _tokenizer(self) -> Any:
        tokenizer = open_tokenizer(self.tokenizer, self.max_tokens, self.truncation_side)
        tokens = tokenizer.get_vocab_size()
        if tokens > self.vocabulary:
            raise SpecError(
                "spec.input.tokenizer",
                got=f"{tokens:,} tokens",
                expected=f"at most {self.vocabulary:,}, the rows of the network's embedding",
                fix="Use the tokenizer that the network was trained with.",
            )
        return tokenizer


def _fixed(inputs: tuple[TensorInfo, ...], length: int) -> tuple[TensorInfo, ...]:
    return tuple(replace(info, shape=(info.shape[0], length, *info.shape[2:])) for info in inputs)


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.input.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
