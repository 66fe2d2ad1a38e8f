"""Random changes to pictures with boxes, by name: torchvision's transforms v2, and mosaic around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from runtimes import Array

BOX_AUGMENTATIONS = (
    "none",
    "mosaic",
    "scale",
    "flip",
    "vertical-flip",
    "turn",
    "colour-jitter",
    "multi-scale",
)

MOSAIC_SHARE = 0.6
"""Of the draws; the others show whole pictures, as they come later."""
SCALES = (0.6, 1.5)
"""Factors by which ``scale`` enlarges what is in a picture."""
SHIFT_SHARE = 0.15
"""Largest shift of a single picture that ``scale`` also moves, as a share of the side."""
CENTRES = (0.5, 1.5)
"""Where the four pictures of a mosaic meet, in sides of the network's input; the mosaic is 2×2 of them."""
SMALLEST_VISIBLE_SHARE = 0.3
"""Of a box's area: with less of it left, nobody could say what it is."""
SMALLEST_SIDE_PX = 3.0
MULTI_SCALES = (0.75, 1.25)
"""Factors on the network's input between which ``multi-scale`` draws a size for each batch."""
MULTI_SCALE_STEP_PX = 32
JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.5}
"""Not the hue: shifting it takes 54 ms for 416×416 where the three take 21 (torchvision 0.29), as long as the
network takes to learn from the picture."""


class Boxed(NamedTuple):
    """A picture with its boxes.

    Attributes:
        pixels: uint8 (H, W, 3).
        boxes_xyxy: In its pixels, float32 (n, 4).
        classes: int64 (n,).
    """

    pixels: Array
    boxes_xyxy: Array
    classes: Array


class BoxAugmentation:
    """A chain of random changes. Draws from torch's generator and from nothing else.

    Args:
        names: Some of `BOX_AUGMENTATIONS`.
        size_wh: What the network takes.
        pad_colour: RGB, around what does not fill it.
    """

    def __init__(
        self, names: Sequence[str], size_wh: tuple[int, int], pad_colour: tuple[int, int, int]
    ) -> None:
        self._size_wh = size_wh
        self._pad = pad_colour
        self._mosaic = "mosaic" in names
        self._scale = "scale" in names
        self._turn = "turn" in names and size_wh[0] == size_wh[1]
        steps = {
            "flip": v2.RandomHorizontalFlip(),
            "vertical-flip": v2.RandomVerticalFlip(),
            "colour-jitter": v2.ColorJitter(**JITTER),
        }
        self._steps = [step for name, step in steps.items() if name in names]

    def pictures(self) -> int:
        """How many pictures the next draw is made of: 4 for a mosaic, else 1."""
        return 4 if self._mosaic and float(torch.rand(())) < MOSAIC_SHARE else 1

    def apply(self, parts: Sequence[Boxed]) -> Boxed:
        """One training picture of the network's size from one picture or from four.

        Args:
            parts: Each at most as large as the network's input.
        """
        canvas, boxes, classes = self._mosaic_of(parts) if len(parts) > 1 else self._single(parts[0])
        return self._changed(self._window(canvas, boxes, classes, single=len(parts) == 1))

    def _canvas(self) -> Array:
        width, height = self._size_wh
        return np.full((2 * height, 2 * width, 3), self._pad, np.uint8)

    def _single(self, part: Boxed) -> tuple[Array, Array, Array]:
        """The picture in the middle of a canvas twice the size."""
        canvas = self._canvas()
        height, width = part.pixels.shape[:2]
        top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
        canvas[top : top + height, left : left + width] = part.pixels
        return canvas, part.boxes_xyxy + np.float32([left, top, left, top]), part.classes

    def _mosaic_of(self, parts: Sequence[Boxed]) -> tuple[Array, Array, Array]:
        """Four pictures whose corners meet in one point of the canvas (Bochkovskiy et al. 2020, figure 3)."""
        canvas = self._canvas()
        outer_h, outer_w = canvas.shape[:2]
        centre_x, centre_y = (round(_uniform(*CENTRES) * side) for side in self._size_wh)
        boxes, classes = [], []
        for at, part in enumerate(parts):
            height, width = part.pixels.shape[:2]
            left = centre_x - width if at % 2 == 0 else centre_x
            top = centre_y - height if at < 2 else centre_y
            x0, x1 = max(0, left), min(outer_w, left + width)
            y0, y1 = max(0, top), min(outer_h, top + height)
            canvas[y0:y1, x0:x1] = part.pixels[y0 - top : y1 - top, x0 - left : x1 - left]
            boxes.append(part.boxes_xyxy + np.float32([left, top, left, top]))
            classes.append(part.classes)
        return canvas, np.concatenate(boxes), np.concatenate(classes)

    def _window(self, canvas: Array, boxes: Array, classes: Array, *, single: bool) -> Boxed:
        """Cut a part out of the canvas and resize it to the network's input."""
        outer_h, outer_w = canvas.shape[:2]
        factor = _log_uniform(*SCALES) if self._scale else 1.0
        width, height = (min(2 * side, round(side / factor)) for side in self._size_wh)
        if single:
            shift = SHIFT_SHARE if self._scale else 0.0
            left = round((outer_w - width) / 2 + _uniform(-shift, shift) * width)
            top = round((outer_h - height) / 2 + _uniform(-shift, shift) * height)
            left, top = min(max(left, 0), outer_w - width), min(max(top, 0), outer_h - height)
        else:
            left, top = round(_uniform(0, outer_w - width)), round(_uniform(0, outer_h - height))
        cut = torch.from_numpy(np.ascontiguousarray(canvas[top : top + height, left : left + width]))
        size = list(self._size_wh[::-1])
        pixels = functional.resize(cut.permute(2, 0, 1), size, antialias=True).permute(1, 2, 0).numpy()
        moved = boxes - np.float32([left, top, left, top])
        factors = np.float32([self._size_wh[0] / width, self._size_wh[1] / height] * 2)
        return _visible(pixels, moved * factors, classes)

    def _changed(self, boxed: Boxed) -> Boxed:
        """Flips, quarter turns and colours."""
        if not self._steps and not self._turn:
            return boxed
        height, width = boxed.pixels.shape[:2]
        image: Any = tv_tensors.Image(torch.from_numpy(boxed.pixels).permute(2, 0, 1))
        boxes: Any = tv_tensors.BoundingBoxes(
            torch.from_numpy(boxed.boxes_xyxy), format="XYXY", canvas_size=(height, width)
        )
        for step in self._steps:
            image, boxes = step(image, boxes)
        if self._turn:
            quarters = int(torch.randint(4, ()))
            image, boxes = (functional.rotate(part, 90.0 * quarters) for part in (image, boxes))
        pixels = np.ascontiguousarray(torch.Tensor(image).permute(1, 2, 0).numpy())
        return _visible(pixels, torch.Tensor(boxes).numpy(), boxed.classes)


def multi_scale_size(size_wh: tuple[int, int], seed: int) -> tuple[int, int]:
    """Width and height for one batch: multiples of `MULTI_SCALE_STEP_PX`, in the proportion of `size_wh`."""
    step = MULTI_SCALE_STEP_PX
    low, high = (max(1, round(factor * size_wh[0] / step)) for factor in MULTI_SCALES)
    width = step * int(np.random.default_rng(seed).integers(low, high + 1))
    return width, step * max(1, round(width * size_wh[1] / size_wh[0] / step))


def _visible(pixels: Array, boxes_xyxy: Array, classes: Array) -> Boxed:
    """Boxes clipped to the picture; those of which too little is left go."""
    height, width = pixels.shape[:2]
    clipped = np.clip(boxes_xyxy, 0, np.float32([width, height, width, height]))
    sides, whole = clipped[:, 2:] - clipped[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    share = sides.prod(axis=1) / np.maximum(whole.prod(axis=1), 1e-6)
    kept = (share >= SMALLEST_VISIBLE_SHARE) & (sides.min(axis=1, initial=np.inf) >= SMALLEST_SIDE_PX)
    return Boxed(pixels, clipped[kept].astype(np.float32), classes[kept])


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _log_uniform(low: float, high: float) -> float:
    return low * (high / low) ** float(torch.rand(()))
