"""Embedding: from a network's last layer to a vector of length one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.results.embedding import Embedding
from sdk.schemas import NUMBER, Schema, listed, record

EMBEDDING = "embedding"
"""Name of the graph output."""
SMALLEST_SQUARE = 1e-24
"""A squared length below this counts as this: a vector of zeros stays zeros instead of becoming NaN."""
DIRECTIONS = 8
"""Along which a vector is watched."""


@dataclass(frozen=True)
class EmbeddingOutput(OutputKind):
    """How an embedding is read: what is alike lies in the same direction.

    Attributes:
        dimensions: Numbers in a vector.
    """

    kind: ClassVar[str] = "embedding"
    bakeable: ClassVar[tuple[str, ...]] = ("unit_length",)

    dimensions: int

    def __post_init__(self) -> None:
        if self.dimensions < 2:
            raise SpecError(
                "spec.output.dimensions",
                got=str(self.dimensions),
                expected="at least 2",
                fix="Correct the spec.",
            )

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Vectors of length one: float32 (N, dimensions)."""
        vectors = outputs[EMBEDDING].astype(np.float32, copy=False)
        return {EMBEDDING: vectors if "unit_length" in baked else unit_length(vectors)}

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        return record({"vector": listed(NUMBER, least=self.dimensions, most=self.dimensions)})

    def features(self, result: Any) -> dict[str, float | str]:
        """Where the vector lies along `DIRECTIONS` fixed directions, drawn once for all; about -3 to 3."""
        along = _directions(self.dimensions) @ result.vector
        return {f"direction{at}": value for at, value in enumerate(along.tolist())}

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Embedding` per sample.

        Raises:
            EngineError: A number is NaN or infinite: the model, or its precision, is broken.
        """
        if not np.isfinite(outputs[EMBEDDING]).all():
            raise EngineError(
                f"Output {EMBEDDING!r}",
                got="NaN or infinity",
                expected="finite numbers",
                fix="Export in fp32, or train again: the network overflows.",
            )
        # Again: the mean over views of a picture, and what an engine rounds, is shorter than one.
        vectors = unit_length(outputs[EMBEDDING])
        vectors.setflags(write=False)
        return [Embedding(row, sample.source) for row, sample in zip(vectors, samples, strict=True)]


@cache
def _directions(dimensions: int) -> Array:
    """The same for everybody and for ever: float32 (`DIRECTIONS`, dimensions)."""
    from sdk.inputs.noise import draw_normal  # not needed to predict

    return draw_normal(0, DIRECTIONS * dimensions).reshape(DIRECTIONS, dimensions)


def unit_length(vectors: Array) -> Array:
    """Vectors scaled to length one, as new float32 of the same shape.

    Args:
        vectors: float32 (N, dimensions).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # `EmbeddingOutput.read` says what is wrong then
        squares = np.einsum("nd,nd->n", vectors, vectors)[:, None]
        scaled: Array = vectors / np.sqrt(np.maximum(squares, np.float32(SMALLEST_SQUARE)))
    return scaled
