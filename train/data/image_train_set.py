"""Training pictures: decoded by the spec's decoder, augmented, normalised by the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from runtimes import Array, EdgewrightError, InputError
from sdk.inputs.image import IMAGE, ImageInput
from sdk.kinds import Sample
from train.batches import Failure, first_failure
from train.data.augmentation import Augmentation
from train.data.image_folder import unreadable
from train.plan import TrainSet
from train.sampling import Draw, derive_seed

MEMORY_BYTES = 512 * 1024**2
"""Prepared pictures are kept in memory up to here."""


class ImageTrainSet(TrainSet):
    """Labelled pictures for training.

    Args:
        items: What the input's decoder takes.
        targets: Class indices, int64 (N,).
        image_input: The spec's input.
        augmentation: What is done to each picture.
    """

    def __init__(
        self, items: Sequence[Any], targets: Array, image_input: ImageInput, augmentation: Augmentation
    ) -> None:
        self._items = items
        self._targets = targets
        self._input = image_input
        self._augmentation = augmentation
        width, height = image_input.size_wh
        size = len(targets) * width * height * image_input.channel_count
        self.in_memory = size <= MEMORY_BYTES and not augmentation.needs_original
        self._prepared: Array | None = None
        if self.in_memory:
            self._prepared = self._prepare_all()

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, draw: Draw) -> tuple[Array, Any] | Failure:
        try:
            return self.changed(self._pixels(draw), draw)
        except EdgewrightError as error:
            # Raised in a worker process it would arrive as a traceback in text; as a value it stays itself.
            return Failure(error)

    def changed(self, pixels: Array, draw: Draw) -> tuple[Array, Any]:
        """A picture uint8 (H, W, C), augmented, and its target."""
        return self._augmentation.change(pixels, derive_child(draw.seed)), int(self._targets[draw.index])

    def collate(self, items: list[Any]) -> Any:
        """Pictures float32 (N, C, H, W), normalised, and classes int64 (N,)."""
        failure = first_failure(items)
        if failure is not None:
            return failure
        images = self.normalised([pixels for pixels, _ in items])
        return images, torch.tensor([target for _, target in items])

    def normalised(self, pictures: Sequence[Array]) -> torch.Tensor:
        """Pictures uint8 (H, W, C) as the network takes them: float32 (N, C, H, W)."""
        samples = [Sample({IMAGE: pixels}, None, {}) for pixels in pictures]
        # One view of each: the others are for test time, and augmentation shows them here.
        return torch.from_numpy(self._input.batch(samples, ("views",))[IMAGE])

    def use_input(self, image_input: ImageInput) -> None:
        """Normalise by another input from now on; what it does to pixels must be the same."""
        self._input = image_input

    def pixel_statistics(self, most: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation per channel of value/255, over at most `most` pictures evenly spread."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        total, squares, count = 0.0, 0.0, 0
        for row in rows:
            pixels = self._load(int(row)).astype(np.float64) / 255.0
            total = total + pixels.sum(axis=(0, 1))
            squares = squares + (pixels**2).sum(axis=(0, 1))
            count += pixels.shape[0] * pixels.shape[1]
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return tuple(mean.tolist()), tuple(deviation.tolist())

    def _pixels(self, draw: Draw) -> Array:
        if self._augmentation.needs_original:
            return self._augmentation.crop(self._source(draw.index), draw.seed)
        return self._load(draw.index)

    def _source(self, row: int) -> Any:
        # Small crops are enlarged: they need the pixels that a reduced JPEG leaves out.
        whole = replace(self._input, jpeg_scaling="full")
        return self._sample(row, whole).source.convert("L" if self._input.channel_count == 1 else "RGB")

    def _load(self, row: int) -> Array:
        return self._prepared[row] if self._prepared is not None else self._sample(row).arrays[IMAGE]

    def _sample(self, row: int, image_input: ImageInput | None = None) -> Sample:
        item = self._items[row]
        try:
            return (image_input or self._input).load(item)
        except InputError as error:
            raise unreadable(Path(item), error) if isinstance(item, (str, Path)) else error from error

    def _prepare_all(self) -> Array:
        width, height = self._input.size_wh
        kept = np.empty((len(self), height, width, self._input.channel_count), np.uint8)
        for row in range(len(self)):
            kept[row] = self._sample(row).arrays[IMAGE]
        return kept


def derive_child(seed: int) -> int:
    """The second of two independent seeds that follow from a draw's one."""
    return derive_seed(seed, "change")
