"""Random square crops of photos, for networks that learn what pictures look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from runtimes import Array, EdgewrightError
from train.batches import Failure, first_failure
from train.data.photos import load_photo
from train.plan import TrainSet
from train.sampling import Draw

MEMORY_BYTES = 512 * 1024**2
"""Photos are kept in memory up to here."""
SMALLEST_SHARE = 0.5
"""Of a photo's shorter side that a crop shows, where the photo is large enough."""
KEPT_FACTOR = 6
"""A photo is shrunk until its shorter side is so many crops long: a smaller part of it is never cut out."""


class PhotoCrops(TrainSet):
    """Squares cut out of photos at random places and scales, half of them mirrored.

    Args:
        photos: The files.
        side_px: Of the crops.
        count: Crops per epoch; each photo gives as many as any other.
    """

    def __init__(self, photos: Sequence[Path], side_px: int, count: int) -> None:
        self._photos = list(photos)
        self._side = side_px
        self._count = count
        self._kept: dict[int, Image.Image] = {}
        self._kept_bytes = 0
        self.in_memory = True

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, draw: Draw) -> Array | Failure:
        """A crop uint8 (side, side, 3), or what went wrong with its photo."""
        try:
            photo = self._photo(draw.index % len(self._photos))
        except EdgewrightError as error:
            return Failure(error)
        generator = np.random.default_rng(draw.seed)
        shorter = min(photo.size)
        least = min(shorter, max(self._side, round(SMALLEST_SHARE * shorter)))
        side = int(generator.integers(least, shorter + 1))
        left, top = (int(generator.integers(0, extent - side + 1)) for extent in photo.size)
        box = (left, top, left + side, top + side)
        crop = np.asarray(photo.resize((self._side, self._side), Image.Resampling.BICUBIC, box))
        return crop[:, ::-1] if generator.integers(2) else crop

    def collate(self, items: list[Any]) -> Any:
        """Crops float32 (N, 3, H, W), 0..1."""
        failure = first_failure(items)
        if failure is not None:
            return failure
        levels = torch.from_numpy(np.stack(items)).permute(0, 3, 1, 2)
        return levels.float() / 255.0

    def _photo(self, at: int) -> Image.Image:
        if at in self._kept:
            return self._kept[at]
        photo = load_photo(self._photos[at])
        ratio = KEPT_FACTOR * self._side / min(photo.size)
        if ratio < 1:
            size = (round(photo.width * ratio), round(photo.height * ratio))
            photo = photo.resize(size, Image.Resampling.BICUBIC)
        size_bytes = photo.width * photo.height * 3
        if self._kept_bytes + size_bytes <= MEMORY_BYTES:
            self._kept[at] = photo
            self._kept_bytes += size_bytes
        return photo
