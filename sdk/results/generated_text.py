"""Text that a model wrote: continued from a prompt, or decoded from another text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes import Array
from sdk.schemas import COUNT, NUMBER, TEXT, Schema, listed, one_of, or_null, record

if TYPE_CHECKING:
    from PIL import Image

END, LENGTH, STOP = "end", "length", "stop"
"""Why a text ends: the model said so; as many tokens as were allowed; one of the caller's stop strings."""
_SHOWN = 3


@dataclass(frozen=True)
class Alternative:
    """Another text that was weighed.

    Attributes:
        text: What it says.
        score: As that of `GeneratedText`.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Attention:
    """Where a decoder looked while it wrote.

    Attributes:
        weights: float32 (written, read), each row a distribution over what was read.
        written: The tokens that were written, as text.
        read: The tokens that were read, as text.
    """

    weights: Array = field(repr=False, compare=False)
    written: tuple[str, ...]
    read: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON data: both token lists, and the weights rounded to four digits."""
        rows = [[round(value, 4) for value in row] for row in self.weights.tolist()]
        return {"written": list(self.written), "read": list(self.read), "weights": rows}


@dataclass(frozen=True)
class GeneratedText:
    """What a model wrote.

    Attributes:
        text: The new text, without the prompt.
        prompt: What it continues, or was decoded from.
        tokens: How many tokens were written, the one that ends a text among them.
        score: Mean natural logarithm of the probability that the model gave each of them; 0 is certain.
        finish_reason: `END`, `LENGTH` or `STOP`.
        alternatives: Other texts, best first, where a search weighed several.
        attention: Where the decoder looked, for decoders that attend to an input and tell.
        source: The item.
    """

    text: str
    prompt: str
    tokens: int
    score: float
    finish_reason: str
    alternatives: tuple[Alternative, ...] = ()
    attention: Attention | None = field(default=None, repr=False)
    source: Any = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: every field but the source; ``attention`` is null where there is none."""
        return {
            "text": self.text,
            "prompt": self.prompt,
            "tokens": self.tokens,
            "score": self.score,
            "finish_reason": self.finish_reason,
            "alternatives": [{"text": other.text, "score": other.score} for other in self.alternatives],
            "attention": None if self.attention is None else self.attention.to_dict(),
        }

    def summary(self) -> str:
        """The text on one line, with what else was weighed."""
        said = " ".join(self.text.split())
        others = [" ".join(other.text.split()) for other in self.alternatives[:_SHOWN]]
        return f"{said} (or {', '.join(others)})" if others else said

    def plot(self) -> Image.Image:
        """The text, above it where the decoder looked if that is known; a new RGB image."""
        from sdk.results.generated_text_picture import draw_attention, draw_text

        return draw_text(self) if self.attention is None else draw_attention(self, self.attention)


def written_schema() -> Schema:
    """JSON Schema of `GeneratedText.to_dict`."""
    attention = {"written": listed(TEXT), "read": listed(TEXT), "weights": listed(listed(NUMBER))}
    return record({
        "text": TEXT,
        "prompt": TEXT,
        "tokens": COUNT,
        "score": or_null(NUMBER),
        "finish_reason": one_of((END, LENGTH, STOP)),
        "alternatives": listed(record({"text": TEXT, "score": or_null(NUMBER)})),
        "attention": or_null(record(attention)),
    })  # fmt: skip
