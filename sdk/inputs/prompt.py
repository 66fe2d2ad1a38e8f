"""Prompts: texts that a language model continues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from runtimes import SpecError
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS, TextInput
from sdk.inputs.text_files import decode_text
from sdk.inputs.tokenizer import open_tokenizer
from sdk.kinds import Sample


class Prompt(str):
    """A text that knows the tokenizer which reads it: what is written behind it is decoded by the same.

    Attributes:
        packed: The tokenizer; see `sdk.inputs.tokenizer`.
    """

    packed: str

    @classmethod
    def of(cls, text: str, packed: str) -> Prompt:
        """A text with its tokenizer."""
        prompt = cls(text)
        prompt.packed = packed
        return prompt

    def decode(self, ids: list[int]) -> str:
        """What token numbers mean, without special ones."""
        text: str = open_tokenizer(self.packed).decode(ids, skip_special_tokens=True)
        return text


@dataclass(frozen=True)
class PromptInput(TextInput):
    """How prompts are fed: as `TextInput` has it, but a prompt may be empty, and no special tokens are added.

    Of a prompt that is too long, the end is kept: it is what the answer continues. Characters that the
    tokenizer does not know are its unknown token, where it has one.

    Attributes:
        start_id: Token that stands for an empty prompt.
    """

    kind: ClassVar[str] = "prompt"

    start_id: int

    def __post_init__(self) -> None:
        super().__post_init__()
        fixed = {"truncation_side": "left", "padding_side": "right", "inputs": (INPUT_IDS, ATTENTION_MASK)}
        for name, value in fixed.items():
            if getattr(self, name) != value:
                raise SpecError(
                    f"spec.input.{name}",
                    got=repr(getattr(self, name)),
                    expected=f"{value!r} for prompts",
                    fix="Correct the spec.",
                )
        if not 0 <= self.start_id < self.vocabulary:
            raise SpecError(
                "spec.input.start_id",
                got=str(self.start_id),
                expected=f"from 0 to {self.vocabulary - 1}",
                fix="Correct the spec.",
            )

    def load(self, item: Any) -> Sample:
        """Tokenise one prompt.

        Args:
            item: A string, UTF-8 bytes, or a path (`os.PathLike`) of a UTF-8 file; empty ones too.

        Returns:
            int64 (T,) per graph input, 1 <= T <= `max_tokens`. Its source is a `Prompt`; its geometry tells
            how many ``tokens`` there are and whether the text was ``cut``.

        Raises:
            InputError: It cannot be read, or is no UTF-8.
            EngineMissingError: The `tokenizers` library is not installed.
        """
        whole = decode_text(item)
        text = self._within_chars(whole)
        encoding = self._tokenizer().encode(text, add_special_tokens=False)
        ids = np.array(encoding.ids or [self.start_id], np.int64)
        cut = len(text) < len(whole) or bool(encoding.overflowing)
        arrays = {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)}
        return Sample(arrays, Prompt.of(text, self.tokenizer), {"tokens": len(ids), "cut": cut})
