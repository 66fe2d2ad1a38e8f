"""Image preprocessing: from a picture to the exact array that the network was trained on."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from runtimes import Array, SpecError
from sdk.inputs.image_decode import decode, flatten_modes
from sdk.kinds import InputKind, Sample

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
OPENCV_BILINEAR = "opencv_bilinear"
"""The filter of models that were trained on pictures which OpenCV's ``INTER_LINEAR`` had shrunk: it reads
four pixels, however many lie between two of the result, and is within one level of 255 of OpenCV.
"""
CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}
RESIZES = ("stretch", "letterbox", "shortest")
JPEG_SCALINGS = ("full", "reduced")
VIEWS = {"identity": (), "mirror": (2,), "flip": (1,), "turn": (1, 2)}
"""Axes of a stack (N, H, W, C) that each view of a picture is reversed along."""
JPEG_SPARE = 2
"""A reduced JPEG is at least so many times as wide and as high as what it is resized to, so that the
resampling filter still decides how the result looks (Pillow's ``reducing_gap`` of 2)."""
IMAGE = "image"
"""Name of the graph input."""
GOLDEN_LONGEST_PX = 512


@dataclass(frozen=True)
class ImageInput(InputKind):
    """How a picture is fed. Every field is written; there are no defaults.

    Attributes:
        channels: Channel order of the network: ``rgb``, ``bgr`` or ``grey`` (ITU-R 601 luma).
        size_wh: Width and height that the network takes, in pixels.
        resize: ``stretch`` to `size_wh`; ``letterbox``: fit inside, keep the aspect, centre on
            `pad_colour`; ``shortest``: shortest side to `shortest_px`, then centre crop.
        shortest_px: Pixels of the shortest side for ``shortest``, else None.
        filter: Pillow's resampling filter, which widens its support when shrinking (antialiasing); or
            `OPENCV_BILINEAR`, which does not.
        pad_colour: RGB, 0..255, around a letterboxed picture.
        alpha_colour: RGB, 0..255, behind transparent pixels.
        scale: Factor on the 8-bit value, such as 1/255.
        mean: Per channel in network order, subtracted after scaling.
        std: Per channel in network order, divided by: ``x = (u8 * scale - mean) / std``.
        jpeg_scaling: ``full``: JPEG files are decoded pixel by pixel. ``reduced``: at the smallest of
            libjpeg's scales 1/8, 1/4, 1/2 and 1 whose result is still `JPEG_SPARE` times as wide and as high
            as what it is resized to. Only files and encoded bytes: arrays and PIL images stay as they are.
        views: What the network is shown of each picture, in one batch, for its answers to be averaged
            (test-time augmentation): ``identity``, ``mirror`` (left and right), ``flip`` (top and bottom),
            ``turn`` (by 180 degrees). ``("identity",)`` is the picture alone.
    """

    kind: ClassVar[str] = "image"
    bakeable: ClassVar[tuple[str, ...]] = ("colour_order", "layout", "cast", "normalise", "views")
    media_types: ClassVar[tuple[str, ...]] = ("image/*", "application/octet-stream")

    channels: str
    size_wh: tuple[int, int]
    resize: str
    shortest_px: int | None
    filter: str
    pad_colour: tuple[int, int, int]
    alpha_colour: tuple[int, int, int]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    jpeg_scaling: str
    views: tuple[str, ...]

    def __post_init__(self) -> None:
        _choice("channels", self.channels, CHANNELS)
        _choice("resize", self.resize, RESIZES)
        _choice("filter", self.filter, (*FILTERS, OPENCV_BILINEAR))
        _choice("jpeg_scaling", self.jpeg_scaling, JPEG_SCALINGS)
        known = bool(self.views) and len(set(self.views)) == len(self.views) and set(self.views) <= set(VIEWS)
        _require("views", self.views, known, f"different ones of {sorted(VIEWS)}, at least one")
        _require("size_wh", self.size_wh, min(self.size_wh) >= 1, "at least 1×1")
        count = CHANNELS[self.channels]
        _require("mean", self.mean, len(self.mean) == count, f"{count} numbers")
        _require("std", self.std, len(self.std) == count and min(self.std) > 0, f"{count} positive numbers")
        _require("scale", self.scale, self.scale > 0, "a positive number")
        for name in ("pad_colour", "alpha_colour"):
            colour = getattr(self, name)
            _require(name, colour, all(0 <= level <= 255 for level in colour), "levels from 0 to 255")
        if self.resize == "shortest":
            enough = self.shortest_px is not None and self.shortest_px >= max(self.size_wh)
            _require("shortest_px", self.shortest_px, enough, f"at least {max(self.size_wh)}")
        else:
            _require("shortest_px", self.shortest_px, self.shortest_px is None, "null unless 'shortest'")

    @property
    def channel_count(self) -> int:
        """3 for colour, 1 for grey."""
        return CHANNELS[self.channels]

    def load(self, item: Any) -> Sample:
        """Decode and resize one picture.

        Args:
            item: A path, bytes, PIL image, or uint8 array; see `decode_image`.

        Returns:
            A sample with array ``image``: uint8 (H, W, C), RGB or grey. Its geometry maps a point of
            the original to the array: ``x' = x * scale_x + offset_x``, likewise y. Its source is the upright
            picture, smaller than the original where a JPEG was decoded at a reduced scale.
        """
        decoded = decode(item, self._jpeg_divisor if self.jpeg_scaling == "reduced" else None)
        source = flatten_modes(decoded.image, self.alpha_colour)
        wanted = "L" if self.channels == "grey" else "RGB"
        image = source if source.mode == wanted else source.convert(wanted)
        resized, geometry = self._resize(image, decoded.size_wh, decoded.box)
        pixels = np.asarray(resized)
        array = pixels[:, :, None] if pixels.ndim == 2 else pixels
        return Sample({IMAGE: array}, source, geometry)

    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:
        """Stack pictures and do what the graph does not.

        Returns:
            ``image``: uint8 (N, H, W, C) when all steps are baked; float32 (V * N, C, H, W), normalised,
            when none is, with all pictures of the first of V views first.
        """
        arrays = [sample.arrays[IMAGE] for sample in samples]
        stack = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        if "views" not in baked and self.views != ("identity",):
            stack = np.concatenate([np.flip(stack, VIEWS[view]) for view in self.views])
        if "colour_order" not in baked and self.channels == "bgr":
            stack = stack[..., ::-1]
        if "layout" not in baked:
            stack = np.ascontiguousarray(stack.transpose(0, 3, 1, 2))
        if "cast" not in baked:
            stack = stack.astype(np.float32)
        if "normalise" not in baked:
            shape = (1, 1, 1, -1) if "layout" in baked else (1, -1, 1, 1)
            mean = np.asarray(self.mean, np.float32).reshape(shape)
            std = np.asarray(self.std, np.float32).reshape(shape)
            stack = (stack * np.float32(self.scale) - mean) / std
        return {IMAGE: stack}

    def rows_per_item(self, baked: Collection[str]) -> int:
        """One per view."""
        return 1 if "views" in baked else len(self.views)

    def features(self, sample: Sample) -> dict[str, float]:
        """How the picture looks as the network gets it, and the original's ``aspect`` and ``megapixels``."""
        from sdk.monitor.features import picture_features  # not needed to predict

        width, height = (sample.geometry.get(side, 1.0) for side in ("width", "height"))
        return {
            **picture_features(sample.arrays[IMAGE]),
            "aspect": width / height,
            "megapixels": width * height / 1e6,
        }

    def is_list(self, item: Any) -> bool:
        """Lists and tuples are several pictures."""
        return isinstance(item, (list, tuple))

    def encode(self, source: Any) -> bytes:
        """The picture as PNG, shrunk so that its longest side is at most `GOLDEN_LONGEST_PX`."""
        image: Image.Image = source
        if max(image.size) > GOLDEN_LONGEST_PX:
            image = image.copy()
            image.thumbnail((GOLDEN_LONGEST_PX, GOLDEN_LONGEST_PX), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    def _jpeg_divisor(self, width: int, height: int) -> int:
        """By how much a JPEG of this size may be reduced: 1, 2, 4 or 8."""
        inner_w, inner_h = self._inner(width, height)
        for divisor in (8, 4, 2):
            # libjpeg rounds the reduced size up.
            reduced_w, reduced_h = -(-width // divisor), -(-height // divisor)
            if reduced_w >= JPEG_SPARE * inner_w and reduced_h >= JPEG_SPARE * inner_h:
                return divisor
        return 1

    def _inner(self, width: int, height: int) -> tuple[int, int]:
        """The size that a picture of `width` and `height` is resampled to, before padding or cutting."""
        if self.resize == "stretch":
            return self.size_wh
        if self.resize == "letterbox":
            ratio = min(self.size_wh[0] / width, self.size_wh[1] / height)
            return max(1, round(width * ratio)), max(1, round(height * ratio))
        return _shortest_side(width, height, self.shortest_px or 0)

    def _canvas(self, inner_wh: tuple[int, int]) -> tuple[int, int]:  # noqa: ARG002 - for kinds without one
        """The size that a picture has when it was resampled to `inner_wh` and padded or cut."""
        return self.size_wh

    def _resize(
        self,
        image: Image.Image,
        original_wh: tuple[int, int],
        box: tuple[float, float, float, float] | None,
    ) -> tuple[Image.Image, dict[str, float]]:
        width, height = original_wh
        inner = self._inner(width, height)
        canvas = self._canvas(inner)
        if inner != image.size or box is not None:
            image = self._resampled(image, inner, box)
        left, top = _centre(canvas[0], inner[0]), _centre(canvas[1], inner[1])
        if inner != canvas:
            image = self._place(image, left, top)
        geometry = {
            "width": float(width),
            "height": float(height),
            "scale_x": inner[0] / width,
            "scale_y": inner[1] / height,
            "offset_x": float(left),
            "offset_y": float(top),
        }
        return image, geometry

    def _resampled(
        self, image: Image.Image, inner: tuple[int, int], box: tuple[float, float, float, float] | None
    ) -> Image.Image:
        if self.filter != OPENCV_BILINEAR:
            return image.resize(inner, FILTERS[self.filter], box)
        left, top, right, bottom = box or (0, 0, *image.size)
        step = ((right - left) / inner[0], 0, left, 0, (bottom - top) / inner[1], top)
        return image.transform(inner, Image.Transform.AFFINE, step, Image.Resampling.BILINEAR)

    def _place(self, image: Image.Image, left: int, top: int) -> Image.Image:
        if self.resize == "shortest":
            return image.crop((-left, -top, self.size_wh[0] - left, self.size_wh[1] - top))
        pad = Image.new("RGB", (1, 1), self.pad_colour).convert(image.mode).getpixel((0, 0))
        canvas = Image.new(image.mode, self.size_wh, pad)
        canvas.paste(image, (left, top))
        return canvas


def _shortest_side(width: int, height: int, shortest_px: int) -> tuple[int, int]:
    """Size with the shortest side at `shortest_px`; the other is cut to whole pixels as in torchvision."""
    if width <= height:
        return shortest_px, int(shortest_px * height / width)
    return int(shortest_px * width / height), shortest_px


def _centre(outer: int, inner: int) -> int:
    """Offset that centres `inner` in `outer`; negative when it is cropped, rounded as in torchvision."""
    return (outer - inner) // 2 if outer >= inner else -round((inner - outer) / 2)


def _choice(name: str, value: str, known: Collection[str]) -> None:
    _require(name, value, value in known, f"one of {sorted(known)}")


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.input.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
