"""What every task that names a picture shares: data, spec, network, loss, measure and report."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sdk.spec import Spec
from train.data.labelled_items import ImageSource, read_part
from train.options import TrainOptions, require, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Split, Splits
from train.tasks.class_task import ClassTask
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


class ImageClassificationTask(ClassTask):
    """One label per picture. A task says where its pictures come from and how they are fed.

    Class attributes:
        held_out_least: Pictures of each class that are held out for validation, at least.
    """

    held_out_least: ClassVar[int] = 1
    _opened: tuple[Path, ImageSource] | None = None

    things: ClassVar[str] = "pictures"
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

    def search_space(self, options: TrainOptions) -> dict[str, str]:
        """Rate, decay and batch size; how far targets are smoothed where the loss allows it."""
        smooth = {"label_smoothing": "0..0.2"} if options.task_options.loss == "cross-entropy" else {}
        return {**super().search_space(options), **smooth}

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Pictures and class indices of one split; see `Task.load_split`."""
        data = Path(data)
        return self._split(self._source(data), data, split, spec)

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in self._source(Path(data)).splits else "val"

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
        images = read_part(source, data, split, self.held_out_least)
        if spec is not None:
            labels = spec.output.labels  # type: ignore[attr-defined]
            images = images.renumbered(labels, data, named=source.names_classes)
        return Split(split, images.items, images.targets, images.labels, images.sha256())


def views_of(own: PictureOptions) -> tuple[str, ...]:
    """What the spec shows the network of each picture."""
    return ("identity", *dict.fromkeys(own.tta))
