"""Task ``detection``: what is in a picture, and where."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, DataError, UsageError
from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.box_sources import open_boxes, read_part
from train.data.boxes import BoxedImages, BoxTargets
from train.data.yolo_text import read_names
from train.detection_agreement import mean_agreement
from train.options import TrainOptions, require, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.detection_arguments import add_detection_arguments

if TYPE_CHECKING:
    from train.plan import Plan

YOLO = ("yolov3_tiny", "yolov3")
FASTER_RCNN = ("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn")
STRIDE_PX = 32
"""Sides of a grid detector's input are multiples of its coarsest stride."""


@dataclass(frozen=True)
class DetectionOptions:
    """Options of the task.

    Attributes:
        weights: Start from this `.safetensors` file.
        freeze: One of `train.networks.freezing.STRATEGIES`.
        image_size: Side of the network's square input in pixels; None is that of `weights`, or the network's.
        augment: Names from `train.data.box_augmentation.BOX_AUGMENTATIONS`; None is the task's choice.
        labels: File of class names for a set that has none.
        anchors: ``kmeans``, ``keep`` (those of `weights`), or a file's path; None is ``kmeans``.
        match_iou: Anchors whose shape overlaps an object's by more learn it beside the likest one.
        score_threshold: Lowest score in results; None is chosen on the validation split.
        iou_threshold: Of non-maximum suppression; None is 0.45, or that of the checkpoint a run starts from.
    """

    weights: Path | None = None
    freeze: str = "none"
    image_size: int | None = None
    augment: tuple[str, ...] | None = None
    labels: Path | None = None
    anchors: str | None = None
    match_iou: float = 0.4
    score_threshold: float | None = None
    iou_threshold: float | None = None

    def __post_init__(self) -> None:
        size = self.image_size
        fits = size is None or (size >= STRIDE_PX and size % STRIDE_PX == 0)
        require("--image-size", size, fits, f"a multiple of {STRIDE_PX}")
        require("--match-iou", self.match_iou, 0 < self.match_iou <= 1, "above 0, at most 1")
        iou, score = self.iou_threshold, self.score_threshold
        require("--iou-threshold", iou, iou is None or 0 < iou < 1, "between 0 and 1")
        require("--score-threshold", score, score is None or 0 < score <= 1, "above 0, at most 1")
        if self.augment is not None and "none" in self.augment and len(self.augment) > 1:
            raise wrong_pair("--augment", "none with others", "none alone", "Leave none out.")


class DetectionTask(Task):
    """Boxes around things."""

    name: ClassVar[str] = "detection"
    summary: ClassVar[str] = "find things in pictures: YOLOv3 or Faster R-CNN on YOLO, COCO or VOC labels"
    data_help: ClassVar[str] = (
        "{train,val,test}/{images,labels} with YOLO's text labels, COCO's annotations/*.json, or Pascal VOC"
    )
    metric: ClassVar[str] = "mAP50"
    mode: ClassVar[str] = "max"
    models: ClassVar[tuple[str, ...]] = (*YOLO, *FASTER_RCNN)
    options_type: ClassVar[type[Any]] = DetectionOptions

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `DetectionOptions`."""
        add_detection_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: DetectionOptions) -> dict[str, Any]:
        """Small batches; learned weights are moved gently."""
        model = given.get("model") or _model_of(task_options.weights) or self.models[0]
        learned = task_options.weights is not None or given.get("start") is not None
        batch_size, lr = (4, 1e-3) if model in YOLO else (2, 2e-4)
        return {
            "model": model,
            "epochs": 100 if learned else 200,
            "batch_size": batch_size,
            "lr": lr,
            "clip_norm": 10.0,
        }

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse options that the network cannot honour."""
        own: DetectionOptions = options.task_options
        if options.model not in self.models:
            raise UsageError("Option --model", got=options.model, expected=f"one of {', '.join(self.models)}",
                             fix="Choose a detector.")  # fmt: skip
        for flag, given in (("--teacher", options.teacher), ("--qat", options.qat)):
            if given is not None:
                raise wrong_pair(flag, "it with detection", "a task that names a picture", "Leave it out.")
        fresh = own.weights is None and options.start is None
        if fresh and own.freeze in ("head-only", "last-blocks"):
            raise wrong_pair("--freeze", f"{own.freeze} with fresh weights", "--weights or --from",
                             "Frozen stages must have learned something: add one of the two.")  # fmt: skip
        if own.anchors is not None and options.model not in YOLO:
            raise wrong_pair("--anchors", f"it with {options.model}", f"--model {' or '.join(YOLO)}",
                             "Leave it out: Faster R-CNN has its own.")  # fmt: skip
        if options.start is not None:
            _require_nothing_beside_start(own)
            if own.iou_threshold is not None and options.model not in YOLO:
                raise wrong_pair("--from and --iou-threshold", f"both with {options.model}", "one of them",
                                 "Its network suppresses boxes itself.")  # fmt: skip
        return options

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Pictures and their boxes; see `Task.load_split`. A folder of pictures alone has no targets."""
        data = Path(data)
        source = open_boxes(data)
        images = read_part(source, data, split)
        if spec is not None:
            images = _with_labels(images, spec.output.labels, source.names_classes, data)  # type: ignore[attr-defined]
        return Split(split, images.items, images.targets, images.labels, images.sha256())

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in open_boxes(Path(data)).splits else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Mean average precision at an overlap of 0.50, and over 0.50 to 0.95; bootstrap intervals."""
        if not len(split.targets):
            return ()
        from train.detection_metrics import average_precisions, bootstrap_intervals, match

        matches = match(results, split.targets, len(split.labels))
        table = average_precisions(matches)
        if np.isnan(table).all():
            raise DataError(f"Split {split.name!r}", got="no boxes at all", expected="at least one to find",
                            fix="Add labelled pictures.")  # fmt: skip
        values = float(np.nanmean(table[:, 0])), float(np.nanmean(table))
        names = (self.metric, "mAP50-95")
        return tuple(
            Metric(name, value, float(low), float(high), len(split), split.name)
            for name, value, (low, high) in zip(names, values, bootstrap_intervals(matches), strict=True)
        )

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Mean over pictures of the share of boxes, by score, that both have: same class, IoU from 0.9."""
        return mean_agreement(results, others)

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Average precision per class, the threshold with the best F1, and precision/recall curves."""
        if not len(split.targets):
            return Report(figures={})
        from train.detection_report import make_report

        return make_report(results, split)

    def calibrated(self, plan: Plan, raw_outputs: Callable[[Split], Mapping[str, Array]]) -> Plan:
        """Results show what is surer than the threshold with the best F1 on the validation split."""
        del raw_outputs
        from train.tasks.detection_plan import with_best_threshold

        return with_best_threshold(plan)

    def golden_rows(self, split: Split, count: int) -> list[int]:
        """Pictures with something in them, evenly spread, as far as there are enough."""
        full = [row for row, target in enumerate(split.targets) if len(target)]
        rows = full if len(full) >= count else list(range(len(split)))
        return [rows[round(at * (len(rows) - 1) / max(1, count - 1))] for at in range(min(count, len(rows)))]

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.detection_plan import make_detection_plan

        own: DetectionOptions = options.task_options
        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        spec = None if start is None else start.spec
        proof_name = self.proof_split(options.data)
        names = ("train", "val") if proof_name == "val" else ("train", "val", "test")
        loaded = {name: self.load_split(options.data, name, spec) for name in names}
        for part in loaded.values():
            part.require_truth(options.data, "training")
        if own.labels is not None:
            loaded = _renamed(loaded, read_names(own.labels), own.labels)
        splits = Splits(loaded["train"], loaded["val"], loaded[proof_name])
        return make_detection_plan(options, splits, start)


def _require_nothing_beside_start(own: DetectionOptions) -> None:
    for name in ("weights", "image_size", "labels", "anchors"):
        if getattr(own, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise wrong_pair(
                f"--from and {flag}", "both", "one of them",
                "The checkpoint says how pictures are fed and holds the weights.",
            )  # fmt: skip


def _model_of(weights: Path | None) -> str | None:
    """The network of a checkpoint that a run starts from; None for a plain state dict."""
    if weights is None:
        return None
    from train.networks.detection_weights import checkpoint_or_none

    checkpoint = checkpoint_or_none(weights)
    return None if checkpoint is None else checkpoint.spec.network.name


def _with_labels(images: BoxedImages, labels: Sequence[str], named: bool, data: Path) -> BoxedImages:
    """The same pictures with classes numbered as in a checkpoint, which may know more than the data has."""
    labels = tuple(labels)
    if not images.targets:
        return replace(images, labels=labels)
    if not named and len(images.labels) <= len(labels):
        return replace(images, labels=labels)
    unknown = next((label for label in images.labels if label not in labels), None)
    if unknown is not None:
        shown = ", ".join(labels[:5]) + ", …" * (len(labels) > 5)
        raise DataError(f"Data {data.name!r}", got=f"class {unknown!r}, which the checkpoint does not know",
                        expected=f"some of its {len(labels)} classes: {shown}",
                        fix="Use data that the checkpoint was trained for.")  # fmt: skip
    numbers = np.array([labels.index(label) for label in images.labels], np.int64)
    targets = [BoxTargets(t.boxes_xyxy, numbers[t.classes], t.crowd) for t in images.targets]
    return replace(images, targets=targets, labels=labels)


def _renamed(loaded: Mapping[str, Split], labels: tuple[str, ...], file: Path) -> dict[str, Split]:
    """Splits whose classes are called as a file says."""
    classes = max(len(split.labels) for split in loaded.values())
    if len(labels) < classes:
        raise UsageError(f"Option --labels {file.name!r}", got=f"{len(labels)} names",
                         expected=f"{classes}, one per class", fix="Name every class.")  # fmt: skip
    return {name: replace(split, labels=labels) for name, split in loaded.items()}
