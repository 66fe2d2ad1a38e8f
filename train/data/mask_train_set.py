"""Training pictures with their masks, both brought to the network's input by one geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from runtimes import Array
from sdk.inputs.image import IMAGE, ImageInput
from train.batches import first_failure
from train.data.image_train_set import ImageTrainSet, derive_child
from train.data.mask_augmentation import JointAugmentation
from train.data.masks import IGNORED
from train.sampling import Draw


class MaskTrainSet(ImageTrainSet):
    """Pictures with a mask each.

    Args:
        items: What the input's decoder takes.
        masks: Class indices, uint8 (H, W) each.
        image_input: The spec's input.
        augmentation: What is done to each pair.
    """

    def __init__(
        self,
        items: Sequence[Any],
        masks: Sequence[Array],
        image_input: ImageInput,
        augmentation: JointAugmentation,
    ) -> None:
        super().__init__(items, masks, image_input, augmentation)
        self._joint = augmentation
        self._placing = mask_input(image_input)
        self._small_masks: list[Array] | None = None
        if self.in_memory:
            self._small_masks = [place_mask(mask, self._placing) for mask in masks]

    def changed(self, pixels: Array, draw: Draw) -> tuple[Array, Array]:
        """A picture uint8 (H, W, C) and its mask uint8 (H, W), augmented."""
        if self._small_masks is not None:
            mask = self._small_masks[draw.index]
        else:
            mask = place_mask(self._targets[draw.index], self._placing)
        return self._joint.change(pixels, mask, derive_child(draw.seed))

    def collate(self, items: list[Any]) -> Any:
        """Pictures float32 (N, C, H, W), normalised, and masks int64 (N, H, W)."""
        failure = first_failure(items)
        if failure is not None:
            return failure
        masks = np.stack([mask for _, mask in items])
        return self.normalised([pixels for pixels, _ in items]), torch.from_numpy(masks).long()


def mask_input(image_input: ImageInput) -> ImageInput:
    """How a mask goes where its picture goes: the same resize, by nearest pixel, with padding ignored."""
    return replace(
        image_input,
        channels="grey",
        filter="nearest",
        pad_colour=(IGNORED,) * 3,
        scale=1.0,
        mean=(0.0,),
        std=(1.0,),
        views=("identity",),
    )


def place_mask(mask: Array, placing: ImageInput) -> Array:
    """A mask uint8 (H, W) at the size of the network's input.

    Args:
        mask: At the size of its picture.
        placing: What `mask_input` gave.
    """
    placed: Array = placing.load(mask).arrays[IMAGE][:, :, 0]
    return placed
