"""The answer of a detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from runtimes import Array

if TYPE_CHECKING:
    from PIL import Image

_SUMMED_UP = 5
"""Kinds of things that a summary names."""


class Detection(NamedTuple):
    """One thing that was found.

    Attributes:
        label: What it is.
        score: How sure that is, 0..1.
        box_xyxy: Left, top, right and bottom in pixels of the original picture.
        class_id: Its class index.
    """

    label: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    class_id: int


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found on a picture, best first. Iterating gives each as a `Detection`.

    Attributes:
        boxes_xyxy: float32 (n, 4): left, top, right and bottom in pixels of the original picture.
        scores: float32 (n,), 0..1.
        class_ids: int64 (n,).
        labels: Names of the classes, one per box.
        source: The picture, RGB or L, as it was before resizing.
        size_wh: Width and height of the original picture; None where `source` has them. A JPEG that was
            decoded at a reduced scale is smaller.
    """

    boxes_xyxy: Array = field(repr=False)
    scores: Array
    class_ids: Array
    labels: tuple[str, ...]
    source: Any = field(repr=False)
    size_wh: tuple[int, int] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(
            self.labels, self.scores.tolist(), self.boxes_xyxy.tolist(), self.class_ids.tolist(), strict=True
        )
        for label, score, box, class_id in rows:
            yield Detection(label, score, tuple(box), class_id)

    def __eq__(self, other: object) -> bool:
        """The same boxes, scores and labels; pictures are not compared."""
        if not isinstance(other, Detections):
            return NotImplemented
        return self.labels == other.labels and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("boxes_xyxy", "scores", "class_ids")
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    def to_dict(self) -> dict[str, Any]:
        """JSON data: a list of detections, each with label, score, box and class index."""
        return {
            "detections": [
                {"label": d.label, "score": d.score, "box_xyxy": list(d.box_xyxy), "class_id": d.class_id}
                for d in self
            ]
        }

    def summary(self) -> str:
        """What was found and how often on one line, most sure first."""
        if not self.labels:
            return "nothing found"
        found = list(dict.fromkeys(self.labels))
        words = []
        for label in found[:_SUMMED_UP]:
            count, best = self.labels.count(label), self.scores[self.labels.index(label)]
            words.append(f"{label} {best:.1%}" if count == 1 else f"{count} × {label} (best {best:.1%})")
        more = len(found) - _SUMMED_UP
        return ", ".join(words) + (f" and {more} more" if more > 0 else "")

    def plot(self) -> Image.Image:
        """The picture with its boxes, labels and scores; a new RGB image."""
        from sdk.results.detections_picture import draw_detections  # fonts cost 5 ms to import

        return draw_detections(self.source, self)
