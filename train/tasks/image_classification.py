"""What every task that names a picture shares: data, spec, network, loss, measure and report."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, DataError
from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.labelled_images import ImageSource, LabelledImages
from train.data.sources import read_images
from train.metrics import confusion, figures_by_class, wilson_interval
from train.options import TrainOptions, require, wrong_pair
from train.plots import confusion_matrix_png
from train.start import read_checkpoint
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.image_arguments import add_image_arguments
from train.tasks.picture_options import PictureOptions, check_start

if TYPE_CHECKING:
    from train.plan import Plan

COMPACT = "compact_cnn"
TORCHVISION = (
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
)


@dataclass(frozen=True)
class ImageOptions(PictureOptions):
    """Options of tasks that name a picture.

    Attributes:
        loss: ``cross-entropy`` or ``focal``.
        label_smoothing: Share of the target spread over all classes, 0..1.
        weighted_sampling: Draw every class equally often.
    """

    loss: str = "cross-entropy"
    label_smoothing: float = 0.0
    weighted_sampling: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        smoothing = self.label_smoothing
        require("--label-smoothing", smoothing, 0 <= smoothing < 1, "from 0 to below 1")
        if self.loss == "focal" and smoothing > 0:
            raise wrong_pair("--label-smoothing", "it with focal loss", "cross-entropy", "Leave one out.")


class ImageClassificationTask(Task):
    """One label per picture. A task says where its pictures come from and how they are fed.

    Class attributes:
        held_out_least: Pictures of each class that are held out for validation, at least.
    """

    held_out_least: ClassVar[int] = 1
    _opened: tuple[Path, ImageSource] | None = None

    metric: ClassVar[str] = "accuracy"
    mode: ClassVar[str] = "max"
    models: ClassVar[tuple[str, ...]] = (COMPACT, *TORCHVISION)
    options_type: ClassVar[type[Any]] = ImageOptions

    @abstractmethod
    def open_source(self, data: Path) -> ImageSource:
        """The data set at `data`.

        Raises:
            DataError: It cannot be used.
        """

    @abstractmethod
    def plan_input(self, source: ImageSource, options: TrainOptions) -> Any:
        """The spec's input for this data and network, its ``mean`` and ``std`` still 0 and 1."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `ImageOptions`."""
        add_image_arguments(parser)

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse options that the network cannot honour."""
        return check_start(options, TORCHVISION)

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Pictures and class indices of one split; see `Task.load_split`."""
        data = Path(data)
        return self._split(self._source(data), data, split, spec)

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in self._source(Path(data)).splits else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Accuracy with its Wilson interval."""
        predicted, targets = _indices(results), np.asarray(split.targets)
        hits, count = int((predicted == targets).sum()), len(targets)
        low, high = wilson_interval(hits, count)
        return (Metric("accuracy", hits / count, low, high, count, split.name),)

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of pictures with the same best label."""
        return float((_indices(results) == _indices(others)).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Precision, recall and F1 per class, and the confusion matrix."""
        predicted, targets = _indices(results), np.asarray(split.targets)
        classes = figures_by_class(predicted, targets, split.labels)
        matrix = confusion(predicted, targets, len(split.labels))
        accuracy = self.measure(results, split)[0].value
        title = f"{split.name}: {len(split):,} pictures, accuracy {accuracy:.2%}"
        return Report(
            figures={
                "labels": list(split.labels),
                "classes": [figures.to_dict() for figures in classes],
                "confusion_matrix": matrix.tolist(),
            },
            columns=("class", "precision", "recall", "F1", "samples"),
            rows=tuple(
                (c.label, f"{c.precision:.1%}", f"{c.recall:.1%}", f"{c.f1:.1%}", f"{c.samples:,}")
                for c in classes
            ),
            pictures={"confusion_matrix.png": confusion_matrix_png(matrix, split.labels, title)},
        )

    def golden_rows(self, split: Split, count: int) -> list[int]:
        """The first picture of each of `count` classes, evenly spread over the classes that are there."""
        _, first = np.unique(np.asarray(split.targets), return_index=True)
        if len(first) >= count:
            return [int(first[round(at * (len(first) - 1) / max(1, count - 1))]) for at in range(count)]
        rest = [row for row in range(len(split)) if row not in set(first.tolist())]
        return [*map(int, first), *rest[: count - len(first)]]

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.image_plan import make_image_plan

        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        spec = None if start is None else start.spec
        source = self._source(options.data)
        train, val = (self.load_split(options.data, name, spec) for name in ("train", "val"))
        proof = self.load_split(options.data, "test", spec) if "test" in source.splits else val
        image_input = self.plan_input(source, options) if spec is None else spec.input
        return make_image_plan(self.name, image_input, options, Splits(train, val, proof), start)

    def _source(self, data: Path) -> ImageSource:
        """The data set at `data`, opened once: that reads the header of every picture."""
        if self._opened is None or self._opened[0] != data:
            self._opened = data, self.open_source(data)
        return self._opened[1]

    def _split(self, source: ImageSource, data: Path, split: str, spec: Spec | None) -> Split:
        images = read_images(source, data, split, self.held_out_least)
        if spec is not None:
            images = _with_labels(images, spec.output.labels, source.names_classes, data)  # type: ignore[attr-defined]
        return Split(split, images.items, images.targets, images.labels, images.sha256())


def views_of(own: PictureOptions) -> tuple[str, ...]:
    """What the spec shows the network of each picture."""
    return ("identity", *dict.fromkeys(own.tta))


def _with_labels(images: LabelledImages, labels: Sequence[str], named: bool, data: Path) -> LabelledImages:
    """The same pictures with classes numbered as in a checkpoint."""
    labels = tuple(labels)
    if not named and int(images.targets.max()) < len(labels):
        return LabelledImages(images.items, images.targets, labels, images.fingerprint)
    odd = sorted(set(images.labels) ^ set(labels))
    shown = ", ".join(labels[:5]) + ", …" * (len(labels) > 5)
    if odd:
        where = "data" if odd[0] in images.labels else "checkpoint"
        raise DataError(
            f"Data {data.name!r}",
            got=f"class {odd[0]!r} in the {where} alone",
            expected=f"the checkpoint's {len(labels)} classes: {shown}",
            fix="Use the data that the checkpoint was trained for.",
        )
    numbers = np.array([labels.index(label) for label in images.labels], np.int64)
    return LabelledImages(images.items, numbers[images.targets], labels, images.fingerprint)


def _indices(results: Sequence[Any]) -> Array:
    return np.fromiter((result.index for result in results), np.int64, len(results))
