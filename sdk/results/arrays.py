"""The answer of a model of which no more is known than its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    from PIL import Image

SHOWN = 6
"""Values of an output that a summary shows."""
_LINE_PX, _MARGIN_PX, _WIDTH_PX = 16, 10, 640


@dataclass(frozen=True)
class Arrays:
    """Named arrays, as the graph gave them.

    Attributes:
        values: One array per output, without a batch axis.
        source: The item: arrays by name, or a picture.
    """

    values: Mapping[str, Array] = field(compare=False)
    source: Any = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> Array:
        """The output called `name`."""
        return self.values[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON data: dtype, shape and values of every output, nested lists in row-major order."""
        return {
            "outputs": {
                name: {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.tolist()}
                for name, array in self.values.items()
            }
        }

    def summary(self) -> str:
        """Each output with its first values on one line."""
        return "; ".join(_line(name, array) for name, array in self.values.items())

    def plot(self) -> Image.Image:
        """The outputs as lines of text; a new RGB image."""
        from PIL import Image, ImageDraw

        lines = [_line(name, array) for name, array in self.values.items()]
        picture = Image.new("RGB", (_WIDTH_PX, 2 * _MARGIN_PX + _LINE_PX * len(lines)), "white")
        draw = ImageDraw.Draw(picture)
        for row, line in enumerate(lines):
            draw.text((_MARGIN_PX, _MARGIN_PX + row * _LINE_PX), line, fill="black")
        return picture


def _line(name: str, array: Array) -> str:
    first = ", ".join(f"{value:.4g}" if array.dtype.kind == "f" else str(value) for value in _first(array))
    more = ", …" if array.size > SHOWN else ""
    return f"{name} {array.dtype.name} {tuple(array.shape)}: {first}{more}"


def _first(array: Array) -> list[Any]:
    values: list[Any] = np.asarray(array).ravel()[:SHOWN].tolist()
    return values
