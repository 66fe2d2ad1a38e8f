"""The answer of a network that paints."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from runtimes import Array


@dataclass(frozen=True)
class GeneratedImage:
    """A picture that a network made.

    Attributes:
        pixels: uint8 (H, W, 3) RGB or (H, W, 1) grey.
        source: What it was made from: the picture as it was before resizing, RGB or L; or a seed, or a latent
            vector.
    """

    pixels: Array = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def image(self) -> Image.Image:
        """The picture, a new RGB or L image: ``result.image.save("painted.png")``."""
        return Image.fromarray(self.pixels if self.pixels.shape[2] > 1 else self.pixels[:, :, 0])

    def to_dict(self) -> dict[str, Any]:
        """JSON data: size, and the picture as base64 of a PNG."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return {"size_wh": list(self.size_wh), "picture_png": b64encode(buffer.getvalue()).decode()}

    def summary(self) -> str:
        """Size and kind."""
        width, height = self.size_wh
        return f"{width}×{height} px, {'RGB' if self.pixels.shape[2] > 1 else 'grey'}"

    def plot(self) -> Image.Image:
        """The picture alone, at its own size: it is the answer."""
        return self.image
