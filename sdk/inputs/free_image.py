"""Pictures of any size, for networks to which size means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from runtimes import Dim, SpecError, TensorInfo
from sdk.inputs.image import ImageInput
from sdk.kinds import InputKind

if TYPE_CHECKING:
    from sdk.spec import Graph

STRETCH = "stretch"


@dataclass(frozen=True)
class FreeImageInput(ImageInput):
    """How a picture is fed at its own size.

    A picture is resized only where a side of it is shorter than `smallest_px` (enlarged until it is not) or
    longer than `largest_px` (shrunk until it is not); the aspect is kept unless both are wanted at once.
    Sides are then mirrored at their ends up to the next multiple of `multiple_px`; what is painted there is
    cut away again. `ImageInput.size_wh` is what pictures are stretched to where an engine needs a fixed size.

    Attributes:
        smallest_px: Of the shorter side.
        largest_px: Of the longer side.
        multiple_px: What the network can halve and double without a rest.
    """

    kind: ClassVar[str] = "free_image"
    any_size: ClassVar[bool] = True

    smallest_px: int
    largest_px: int
    multiple_px: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("resize", self.resize, self.resize == STRETCH, "'stretch': it concerns fixed sizes alone")
        _require("smallest_px", self.smallest_px, self.smallest_px >= 1, "at least 1")
        enough = self.largest_px >= max(self.smallest_px, *self.size_wh)
        _require("largest_px", self.largest_px, enough, "at least smallest_px, and at least size_wh")
        _require("size_wh", self.size_wh, min(self.size_wh) >= self.smallest_px, "at least smallest_px")
        sides = (*self.size_wh, self.smallest_px, self.largest_px)
        whole = 1 <= self.multiple_px <= self.smallest_px and not any(px % self.multiple_px for px in sides)
        _require("multiple_px", self.multiple_px, whole, "a divisor of all sizes")

    def batch_of(self, inputs: Sequence[TensorInfo]) -> Dim:  # noqa: ARG002
        """One picture a call: the next may have another size."""
        return Dim(1, 1)

    def variants(self, graph: Graph) -> tuple[Graph, ...]:
        """The graph at `size_wh`."""
        width, height = self.size_wh

        def fixed(infos: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
            # Unbaked: both ways, a picture of any size is (N, C, H, W).
            return tuple(replace(info, shape=(*info.shape[:2], height, width)) for info in infos)

        return (replace(graph, inputs=fixed(graph.inputs), outputs=fixed(graph.outputs)),)

    def for_variants(self) -> InputKind:
        """Pictures stretched to `size_wh`; answers are brought back to the picture's size."""
        own: dict[str, Any] = {name: getattr(self, name) for name in _names()}
        return ImageInput(**own)

    def _inner(self, width: int, height: int) -> tuple[int, int]:
        """The size that a picture is resampled to: mostly its own."""
        ratio = min(1.0, self.largest_px / max(width, height))
        ratio = max(ratio, self.smallest_px / min(width, height))
        # Very long and thin: the longer side gives way, or a picture of 1×4000 would fill the memory.
        scaled = (round(width * ratio), round(height * ratio))
        wide, high = (min(max(side, self.smallest_px), self.largest_px) for side in scaled)
        return wide, high

    def _canvas(self, inner_wh: tuple[int, int]) -> tuple[int, int]:
        """The next multiples."""
        wide, high = (-(-side // self.multiple_px) * self.multiple_px for side in inner_wh)
        return wide, high

    def _place(self, image: Image.Image, left: int, top: int) -> Image.Image:
        pixels = np.asarray(image)
        wide, high = self._canvas(image.size)
        margins = [(top, high - image.height - top), (left, wide - image.width - left)]
        return Image.fromarray(np.pad(pixels, [*margins, (0, 0)][: pixels.ndim], mode="reflect"))


def _names() -> list[str]:
    """What a picture of fixed size is described by."""
    return [field.name for field in fields(ImageInput)]


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.input.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
