"""The answer of an embedding network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes import Array

if TYPE_CHECKING:
    from PIL import Image

_SHOWN = 4


@dataclass(frozen=True)
class Embedding:
    """Where a picture lies: the closer the directions of two vectors, the more alike what they show.

    Attributes:
        vector: float32 (dimensions,) of length one, read only. The dot product of two is their cosine.
        source: The picture, RGB or L, as it was before resizing.
    """

    vector: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: the vector."""
        return {"vector": [float(value) for value in self.vector]}

    def summary(self) -> str:
        """How many numbers, and the first of them."""
        first = ", ".join(f"{value:+.3f}" for value in self.vector[:_SHOWN])
        return f"{len(self.vector)} dimensions: {first}" + (", …" if len(self.vector) > _SHOWN else "")

    def similarity(self, other: Embedding) -> float:
        """Cosine between the two vectors, -1..1."""
        return float(self.vector @ other.vector)

    def plot(self) -> Image.Image:
        """The picture beside its vector as bars; a new RGB image."""
        from sdk.results.embedding_picture import draw_embedding

        return draw_embedding(self.source, self.vector)
