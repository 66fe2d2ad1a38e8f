"""Task ``segmentation``: what every pixel of a picture shows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import DataError
from sdk.artifact import Metric
from sdk.inputs.image import ImageInput
from sdk.spec import Spec
from train.data.box_sources import read_part
from train.data.masks import IGNORED, LABELS_FILE, MaskedImages, MaskFiles, MaskFolder, open_masks
from train.options import TrainOptions, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.picture_options import PictureOptions, check_start
from train.tasks.segmentation_arguments import add_segmentation_arguments

if TYPE_CHECKING:
    from train.plan import Plan

UNET = "unet"
TORCHVISION_SEGMENTATION = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
UNET_SIZE_PX, TORCHVISION_SIZE_PX = 192, 320
_GREY, _WHITE = (128, 128, 128), (255, 255, 255)


@dataclass(frozen=True)
class SegmentationOptions(PictureOptions):
    """Options of task ``segmentation``, beside those of all tasks on pictures.

    Attributes:
        loss: Terms of `train.segmentation_losses.TERMS`, joined by ``+``.
    """

    loss: str = "cross-entropy+dice"


class SegmentationTask(Task):
    """A class per pixel."""

    name: ClassVar[str] = "segmentation"
    summary: ClassVar[str] = "tell what every pixel shows: pictures with a mask of class indices each"
    data_help: ClassVar[str] = (
        "folder with images/, masks/*.png (8 bit, a class index per pixel, 255 ignored) and labels.txt; or "
        "{train,val,test}/{images,masks} and labels.txt"
    )
    metric: ClassVar[str] = "mean_iou"
    mode: ClassVar[str] = "max"
    models: ClassVar[tuple[str, ...]] = (UNET, *TORCHVISION_SEGMENTATION)
    options_type: ClassVar[type[Any]] = SegmentationOptions

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `SegmentationOptions`."""
        add_segmentation_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: SegmentationOptions) -> dict[str, Any]:
        """A U-Net learns fast from nothing; what learned already is moved gently."""
        model = given.get("model", UNET)
        if given.get("start") is not None:
            return {"model": model, "epochs": 10, "batch_size": 16, "lr": 5e-4}
        if task_options.pretrained or task_options.weights is not None:
            return {"model": model, "epochs": 15, "batch_size": 8, "lr": 5e-4}
        epochs = 30 if model == UNET else 60
        return {"model": model, "epochs": epochs, "batch_size": 16, "lr": 3e-3}

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse options that the network or the answer cannot honour."""
        from train.segmentation_losses import make_segmentation_loss

        own: SegmentationOptions = options.task_options
        make_segmentation_loss(own.loss)
        if own.tta:
            raise wrong_pair("--tta", "it for segmentation", "one view",
                             "Leave it out: maps of turned views lie elsewhere.")  # fmt: skip
        if own.resize == "shortest":
            raise wrong_pair("--resize", "shortest for segmentation", "stretch or letterbox",
                             "Choose one: what is cut off would get no class.")  # fmt: skip
        if options.model == TORCHVISION_SEGMENTATION[1] and options.batch_size < 2:
            raise wrong_pair("--batch-size", f"1 with {options.model}", "at least 2",
                             "Raise it: a part of it normalises over the batch alone.")  # fmt: skip
        return check_start(options, TORCHVISION_SEGMENTATION)

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Pictures and masks of one split; see `Task.load_split`. Masks are read when asked for."""
        data = Path(data)
        return _split(open_masks(data), data, split, spec)

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one that tells the truth, or has nothing else; else ``val``."""
        source = open_masks(Path(data))
        return "test" if _judges(source) or source.splits == ("test",) else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Mean IoU, mean Dice and pixel accuracy over the whole split, at the pictures' own sizes."""
        from train.segmentation_metrics import (
            mean_dice,
            mean_iou,
            percentile_interval,
            pixel_accuracy,
            resampled,
        )

        if not len(split.targets):
            return ()
        confusions = _confusions(results, split)
        whole, drawn = confusions.sum(axis=0), resampled(confusions)
        figures = (("mean_iou", mean_iou), ("mean_dice", mean_dice), ("pixel_accuracy", pixel_accuracy))
        return tuple(
            Metric(name, float(of(whole)), *percentile_interval(of(drawn)), len(results), split.name)
            for name, of in figures
        )

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of pixels of the same class, the mean over pictures."""
        pairs = zip(results, others, strict=True)
        return float(np.mean([float((one.mask == other.mask).mean()) for one, other in pairs]))

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """IoU and Dice per class, which classes are taken for which, and the worst pictures."""
        from train.segmentation_report import make_segmentation_report

        if not len(split.targets):
            return Report(figures={"labels": list(split.labels)})
        return make_segmentation_report(results, split, _confusions(results, split))

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.segmentation_plan import make_segmentation_plan

        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        spec = None if start is None else start.spec
        train, val = (self.load_split(options.data, name, spec) for name in ("train", "val"))
        for split in (train, val):
            split.require_truth(options.data, "training")
        judged = _judges(open_masks(options.data))
        proof = self.load_split(options.data, "test", spec) if judged else val
        image_input: Any = _plan_input(options) if spec is None else spec.input
        return make_segmentation_plan(self.name, image_input, options, Splits(train, val, proof), start)


def _judges(source: MaskFolder) -> bool:
    """Whether there is a test part that tells the truth."""
    return source.has_truth.get("test", False)


def _split(source: MaskFolder, data: Path, split: str, spec: Spec | None) -> Split:
    images: MaskedImages = read_part(source, data, split)
    if spec is not None:
        images = _with_labels(images, spec.output.labels, data)  # type: ignore[attr-defined]
    return Split(split, images.items, images.masks, images.labels, images.sha256())


def _with_labels(images: MaskedImages, labels: Sequence[str], data: Path) -> MaskedImages:
    """The same pictures with classes numbered as in a checkpoint."""
    labels = tuple(labels)
    if not isinstance(images.masks, MaskFiles):
        return MaskedImages(images.items, (), labels)
    odd = sorted(set(images.labels) ^ set(labels))
    if odd:
        where = "data" if odd[0] in images.labels else "checkpoint"
        raise DataError(
            f"Data {data.name!r}, {LABELS_FILE}",
            got=f"class {odd[0]!r} in the {where} alone",
            expected=f"the checkpoint's {len(labels)} classes",
            fix="Use the data that the checkpoint was trained for.",
        )
    if images.labels == labels:
        return images
    numbers = np.full(256, IGNORED, np.uint8)
    numbers[: len(labels)] = [labels.index(label) for label in images.labels]
    return MaskedImages(images.items, images.masks.renumbered(numbers), labels)


def _confusions(results: Sequence[Any], split: Split) -> Any:
    """Of every picture, int64 (N, classes, classes)."""
    from train.segmentation_metrics import pixel_confusion

    pairs = zip(results, split.targets, strict=True)
    return np.stack([pixel_confusion(one.mask, truth, len(split.labels)) for one, truth in pairs])


def _plan_input(options: TrainOptions) -> ImageInput:
    own: SegmentationOptions = options.task_options
    side = own.image_size or (UNET_SIZE_PX if options.model == UNET else TORCHVISION_SIZE_PX)
    return ImageInput(
        channels="rgb",
        size_wh=(side, side),
        resize=own.resize or "letterbox",
        shortest_px=None,
        filter="bilinear",
        pad_colour=_GREY,
        alpha_colour=_WHITE,
        scale=1 / 255,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        jpeg_scaling=own.jpeg_scaling or "full",
        views=("identity",),
    )
