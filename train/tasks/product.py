"""Task ``product``: which product a picture shows. Fashion-MNIST, or any folder of pictures per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sdk.inputs.image import ImageInput
from train.data.labelled_items import ImageSource
from train.data.sources import open_images
from train.options import TrainOptions
from train.tasks.image_classification import COMPACT, ImageClassificationTask, PictureOptions, views_of

COMPACT_FOLDER_SIZE_PX = 64
TORCHVISION_SIZE_PX = 224
SHORTEST_FACTOR = 8 / 7
"""Shortest side before the centre is cut: 256 for 224, as torchvision's weights were trained."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


class ProductTask(ImageClassificationTask):
    """Product pictures."""

    name: ClassVar[str] = "product"
    summary: ClassVar[str] = "name the product in a picture: Fashion-MNIST, or a folder per class"
    data_help: ClassVar[str] = (
        "folder of idx files (Fashion-MNIST), or of pictures as CLASS/*.png or {train,val,test}/CLASS/*.png"
    )

    def open_source(self, data: Path) -> ImageSource:
        """Idx files, or a folder per class."""
        return open_images(data)

    def defaults(self, given: Mapping[str, Any], task_options: PictureOptions) -> dict[str, Any]:
        """Fresh networks learn fast and long; pretrained ones are moved gently."""
        model = given.get("model", COMPACT)
        if given.get("start") is not None:
            # What was learned is kept: a fifth of the rate, a third of the epochs of a fresh network.
            batch_size, lr = (128, 1e-3) if model == COMPACT else (32, 2e-4)
            return {"model": model, "epochs": 5, "batch_size": batch_size, "lr": lr}
        if task_options.pretrained or task_options.weights is not None:
            return {"model": model, "epochs": 10, "batch_size": 32, "lr": 5e-4}
        if model == COMPACT:
            return {"model": model, "epochs": 14, "batch_size": 128, "lr": 5e-3}
        return {"model": model, "epochs": 20, "batch_size": 32, "lr": 1e-3}

    def plan_input(self, source: ImageSource, options: TrainOptions) -> ImageInput:
        """Grey at its own size for idx files, RGB at the network's usual size for folders."""
        own: PictureOptions = options.task_options
        small = options.model == COMPACT
        size_wh = (COMPACT_FOLDER_SIZE_PX,) * 2 if small else (TORCHVISION_SIZE_PX,) * 2
        if own.image_size is not None:
            size_wh = (own.image_size, own.image_size)
        elif small and source.size_wh is not None:
            size_wh = source.size_wh
        resize = own.resize or ("letterbox" if source.size_wh is not None else "shortest")
        # Idx sets show things on black, shops show them on white.
        pad = _BLACK if source.channels == "grey" else _WHITE
        count = 1 if source.channels == "grey" else 3
        return ImageInput(
            channels=source.channels,
            size_wh=size_wh,
            resize=resize,
            shortest_px=round(SHORTEST_FACTOR * max(size_wh)) if resize == "shortest" else None,
            filter="bilinear",
            pad_colour=pad,
            alpha_colour=pad,
            scale=1 / 255,
            mean=(0.0,) * count,
            std=(1.0,) * count,
            jpeg_scaling=own.jpeg_scaling or "full",
            views=views_of(own),
        )
