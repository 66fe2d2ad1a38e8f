"""Training pictures with boxes: decoded and resized by the spec, augmented, normalised by the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runtimes import Array, EdgewrightError, InputError
from sdk.inputs.image import IMAGE, ImageInput
from sdk.kinds import Sample
from train.batches import Failure, first_failure
from train.data.box_augmentation import BoxAugmentation, Boxed, multi_scale_size
from train.data.boxes import BoxTargets
from train.data.image_folder import unreadable
from train.plan import TrainSet
from train.sampling import Draw, seeded

MEMORY_BYTES = 512 * 1024**2
"""Resized pictures are kept in memory up to here."""

BoxBatch = tuple[Tensor, list[tuple[Tensor, Tensor]]]
"""Pictures float32 (N, C, H, W), normalised; and of each its boxes float32 (n, 4), left, top, right and
bottom in pixels of the batch, and their classes int64 (n,)."""


class _Drawn(NamedTuple):
    boxed: Boxed
    seed: int


class DetectionTrainSet(TrainSet):
    """Pictures with boxes for training.

    Args:
        items: What the input's decoder takes.
        targets: Of each; crowds are left out.
        image_input: The spec's input; it letterboxes or stretches.
        augmentation: What is done to each picture.
        multi_scale: Give every batch a size of its own.
    """

    def __init__(
        self,
        items: Sequence[Any],
        targets: Sequence[BoxTargets],
        image_input: ImageInput,
        augmentation: BoxAugmentation,
        *,
        multi_scale: bool,
    ) -> None:
        self._items = items
        self._targets = [target.learned() for target in targets]
        self._input = image_input
        self._augmentation = augmentation
        self._multi_scale = multi_scale
        width, height = image_input.size_wh
        self.in_memory = len(items) * width * height * image_input.channel_count <= MEMORY_BYTES
        self._prepared = [self._prepare(row) for row in range(len(items))] if self.in_memory else None

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, draw: Draw) -> _Drawn | Failure:
        try:
            with seeded(draw.seed):
                count = self._augmentation.pictures()
                others = torch.randint(len(self), (count - 1,)).tolist()
                parts = [self._boxed(row) for row in (draw.index, *others)]
                return _Drawn(self._augmentation.apply(parts), draw.seed)
        except EdgewrightError as error:
            # Raised in a worker process it would arrive as a traceback in text; as a value it stays itself.
            return Failure(error)

    def collate(self, items: list[Any]) -> BoxBatch | Failure:
        """Stack pictures, normalise them by the spec, and give the batch its size."""
        failure = first_failure(items)
        if failure is not None:
            return failure
        samples = [Sample({IMAGE: self._in_channels(item.boxed.pixels)}, None, {}) for item in items]
        images = torch.from_numpy(self._input.batch(samples, ("views",))[IMAGE])
        targets = [
            (torch.from_numpy(item.boxed.boxes_xyxy), torch.from_numpy(item.boxed.classes)) for item in items
        ]
        if not self._multi_scale:
            return images, targets
        return _resized(images, targets, multi_scale_size(self._input.size_wh, items[0].seed))

    def sizes_wh(self) -> Array:
        """Width and height of every box in pixels of the network's input, float32 (n, 2)."""
        sizes = [np.zeros((0, 2), np.float32)]
        for row in range(len(self)):
            boxes = self._boxed(row).boxes_xyxy
            sizes.append(boxes[:, 2:] - boxes[:, :2])
        return np.concatenate(sizes)

    def _boxed(self, row: int) -> Boxed:
        return self._prepared[row] if self._prepared is not None else self._prepare(row)

    def _prepare(self, row: int) -> Boxed:
        """A picture as the spec resizes it, without its padding, and its boxes there."""
        item, target = self._items[row], self._targets[row]
        try:
            sample = self._input.load(item)
        except InputError as error:
            raise unreadable(item, error) from error
        place = sample.geometry
        scale = np.float32([place["scale_x"], place["scale_y"]] * 2)
        left, top = round(place["offset_x"]), round(place["offset_y"])
        width, height = (round(place[side] * place[f"scale_{axis}"]) for side, axis in _AXES)
        pixels = sample.arrays[IMAGE][top : top + height, left : left + width]
        return Boxed(
            np.broadcast_to(pixels, (*pixels.shape[:2], 3)), target.boxes_xyxy * scale, target.classes
        )

    def _in_channels(self, pixels: Array) -> Array:
        """Colours as the spec's decoder gives them: a grey picture has one channel."""
        return pixels if self._input.channel_count == 3 else pixels[:, :, :1]


_AXES = (("width", "x"), ("height", "y"))


def _resized(images: Tensor, targets: list[tuple[Tensor, Tensor]], size_wh: tuple[int, int]) -> BoxBatch:
    """Pictures of another size, and their boxes with them."""
    width, height = size_wh
    factors = torch.tensor([width / images.shape[3], height / images.shape[2]] * 2)
    resized = torch.nn.functional.interpolate(images, (height, width), mode="bilinear", antialias=True)
    return resized, [(boxes * factors, classes) for boxes, classes in targets]
