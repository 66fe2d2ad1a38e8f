"""The answer of a segmentation network."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from runtimes import Array

UNSEEN = 255
"""In a mask: no class, because the pixel was cut away or, in a data set, is not to be judged."""


@dataclass(frozen=True)
class ClassShare:
    """A class with its share of the pixels, 0..1."""

    label: str
    index: int
    share: float


@dataclass(frozen=True)
class Segmentation:
    """What every pixel of a picture shows.

    Attributes:
        mask: Class index of every pixel, uint8 (H, W) at the size of the original picture; `UNSEEN` where
            there is no answer.
        labels: A name per class.
        shares: The classes that occur, the largest first, with their shares of the pixels that were seen.
        source: The picture, RGB or L, as it was before resizing.
    """

    mask: Array = field(repr=False, compare=False)
    labels: tuple[str, ...] = field(repr=False)
    shares: tuple[ClassShare, ...]
    source: Any = field(repr=False, compare=False)

    @classmethod
    def of(cls, mask: Array, labels: tuple[str, ...], source: Any) -> Segmentation:
        """The result of a mask, uint8 (H, W), which is kept and not copied."""
        counts = np.bincount(mask.reshape(-1), minlength=UNSEEN + 1)[: len(labels)]
        seen = max(1, int(counts.sum()))
        order = np.argsort(-counts, kind="stable")
        shares = tuple(
            ClassShare(labels[index], int(index), float(counts[index] / seen))
            for index in order
            if counts[index]
        )
        return cls(mask, labels, shares, source)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the mask, in pixels."""
        return self.mask.shape[1], self.mask.shape[0]

    def of_class(self, label: str) -> Array:
        """Where the class called `label` is: bool (H, W).

        Raises:
            KeyError: There is no such class.
        """
        if label not in self.labels:
            raise KeyError(f"no class {label!r}; there are {', '.join(self.labels)}")
        where: Array = self.mask == self.labels.index(label)
        return where

    def mask_picture(self) -> Image.Image:
        """The mask as a palette picture: pixel values are class indices, the palette makes them visible."""
        from sdk.results.segmentation_picture import palette

        picture = Image.fromarray(self.mask)
        picture.putpalette(palette(len(self.labels)))
        return picture

    def to_dict(self) -> dict[str, Any]:
        """JSON data: size, labels, shares, and the mask as base64 of a PNG whose pixels are class indices."""
        buffer = io.BytesIO()
        self.mask_picture().save(buffer, "PNG", optimize=True)
        return {
            "size_wh": list(self.size_wh),
            "labels": list(self.labels),
            "shares": [{"label": s.label, "index": s.index, "share": s.share} for s in self.shares],
            "mask_png": b64encode(buffer.getvalue()).decode(),
        }

    def summary(self) -> str:
        """The three largest classes on one line."""
        return ", ".join(f"{entry.label} {entry.share:.1%}" for entry in self.shares[:3])

    def plot(self) -> Image.Image:
        """The picture under its coloured mask, with a legend; a new RGB image."""
        from sdk.results.segmentation_picture import draw_segmentation  # fonts cost 5 ms to import

        return draw_segmentation(self)
