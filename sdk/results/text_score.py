"""How likely a language model finds a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimes import Array


@dataclass(frozen=True)
class TextScore:
    """A text's tokens, as a language model sees them; the first, which has nothing before it, left out.

    Attributes:
        scores: Natural logarithm of each token's probability, float32 (T,); 0 is certain.
        likeliest: Token that the model expected in each place, int64 (T,).
        source: The text.
    """

    scores: Array = field(repr=False, compare=False)
    likeliest: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens the model would be as unsure; 1 is certain."""
        return float(np.exp(-self.scores.mean(dtype=np.float64))) if len(self.scores) else 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON data: number of tokens and perplexity."""
        return {"tokens": len(self.scores), "perplexity": self.perplexity}

    def summary(self) -> str:
        """Perplexity on one line."""
        return f"perplexity {self.perplexity:.2f} over {len(self.scores)} tokens"
