"""Why a classifier gave an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Explanation:
    """Which parts of a picture speak for a label.

    Attributes:
        label: What is explained.
        score: Its score.
        index: Its class index.
        answer: What the classifier answered; the same label unless another was asked for.
        method: ``Grad-CAM`` or ``class activation map``.
        heatmap: float32 (H, W) over the original picture, 0 (nothing) to 1 (most of all); all 0 where nothing
            speaks for the label.
        source: The picture.
    """

    label: str
    score: float
    index: int
    answer: str
    method: str
    heatmap: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    @property
    def peak_xy(self) -> tuple[int, int] | None:
        """Pixel that speaks most for the label; None where none does."""
        if not self.heatmap.any():
            return None
        row, column = np.unravel_index(int(self.heatmap.argmax()), self.heatmap.shape)
        return int(column), int(row)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: everything but heatmap and picture."""
        return {
            "label": self.label,
            "score": self.score,
            "index": self.index,
            "answer": self.answer,
            "method": self.method,
            "peak_xy": None if self.peak_xy is None else list(self.peak_xy),
        }

    def summary(self) -> str:
        """What was explained and where the answer lies, on one line."""
        where = "nothing in the picture speaks for it" if self.peak_xy is None else f"most at {self.peak_xy}"
        return f"{self.label} {self.score:.1%} by {self.method}: {where}"

    def plot(self) -> Image.Image:
        """The picture, and beside it the picture under its heatmap; a new RGB image."""
        from sdk.results.explanation_picture import draw_explanation

        return draw_explanation(self)
