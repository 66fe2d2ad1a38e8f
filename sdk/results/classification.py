"""The answer of a classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    from PIL import Image

_RANKED = ("label", "score", "index", "top")


@dataclass(frozen=True)
class RankedLabel:
    """A label with its score and class index."""

    label: str
    score: float
    index: int


@dataclass(frozen=True)
class Classification:
    """What a picture shows, or a text is about.

    Attributes:
        label: The best label.
        score: Its score; a probability for softmax and sigmoid.
        index: Its class index.
        top: The best labels, best first.
        scores: All scores, float32 (classes,).
        source: The picture, RGB or L, as it was before resizing; or the text.
    """

    label: str
    score: float
    index: int
    top: tuple[RankedLabel, ...]
    scores: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: label, score, index, and the ranked labels."""
        return {
            "label": self.label,
            "score": self.score,
            "index": self.index,
            "top": [{"label": t.label, "score": t.score, "index": t.index} for t in self.top],
        }

    def summary(self) -> str:
        """The three best labels on one line."""
        return ", ".join(f"{entry.label} {entry.score:.1%}" for entry in self.top[:3])

    def plot(self) -> Image.Image:
        """The picture, or the text, beside its ranked labels as bars; a new RGB image."""
        from sdk.results.classification_picture import draw_classification  # fonts cost 5 ms to import

        return draw_classification(self.source, self.top)

    @classmethod
    def ranked_later(cls, labels: tuple[str, ...], top_k: int, scores: Array, source: Any) -> Classification:
        """A result that ranks its scores when it is first asked for a label.

        Args:
            labels: A name per class.
            top_k: How many to rank; equal scores rank by class order.
            scores: float32 (classes,) without NaN; kept, not copied.
            source: The picture.
        """
        result = cls.__new__(cls)
        vars(result).update(scores=scores, source=source, _labels=labels, _top_k=top_k)
        return result

    if not TYPE_CHECKING:  # type checkers know the fields, and would take any misspelt name for one

        def __getattr__(self, name: str) -> Any:
            # Called for what is not there yet. Two threads may both come here; both find the same.
            if name not in _RANKED or "_labels" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            labels, scores = vars(self)["_labels"], self.scores
            ranks = np.argsort(-scores, kind="stable")[: vars(self)["_top_k"]]
            pairs = zip(ranks.tolist(), scores[ranks].tolist(), strict=True)
            top = tuple([RankedLabel(labels[index], score, index) for index, score in pairs])
            vars(self).update(label=top[0].label, score=top[0].score, index=top[0].index, top=top)
            return vars(self)[name]

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the fields, ranked, and nothing that only serves to rank them."""
        return {name: getattr(self, name) for name in (*_RANKED, "scores", "source")}
