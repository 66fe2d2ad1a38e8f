"""Network, anchors, loss and training set for one run of the task ``detection``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Array, Dim, TensorInfo, UsageError
from runtimes.errors import first_line
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.image import IMAGE, ImageInput
from sdk.outputs.boxes import BOXES, CLASSES, SCORES, FinalBoxesOutput, YoloGridOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.anchors import anchors_by_map, kmeans_anchors, mean_best_iou
from train.batches import predict_split
from train.data.box_augmentation import BoxAugmentation
from train.data.detection_train_set import BoxBatch, DetectionTrainSet
from train.detection_metrics import best_point, match, pooled
from train.networks.detection_weights import checkpoint_or_none, load_detector_weights
from train.networks.freezing import freeze
from train.networks.pretrained import IMAGENET_MEAN, IMAGENET_STD
from train.options import TrainOptions, wrong_pair
from train.plan import Plan
from train.start import inherited_facts
from train.tasks.base import Splits
from train.tasks.detection import YOLO, DetectionOptions
from train.yolo_loss import LossWeights, YoloLoss
from train.yolo_spec import DEFAULT_IOU, DEFAULT_SCORE, SCORE_FLOOR, yolo_input, yolo_output, yolo_spec

DEFAULT_AUGMENT = ("mosaic", "scale", "flip", "colour-jitter", "multi-scale")
ANCHORS_PER_MAP = 3
SIDES_PX = {
    "yolov3_tiny": 416,
    "yolov3": 416,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
    "fasterrcnn_resnet50_fpn": 640,
}
MOST_DETECTIONS = 100
"""Rows of Faster R-CNN's answer; COCO counts as many."""
LOSS_WEIGHTS = LossWeights(box=10.0)
"""With 2 for the box, objectness drowned it: offsets within a cell were barely learned in 700 steps."""
_MEAN_COLOUR = tuple(round(255 * level) for level in IMAGENET_MEAN)
_JUDGED_AT_ONCE = 8
_CHOSEN_BY, _BY_F1 = "score_threshold", "best F1 on val"
"""What the evidence says of the threshold."""

_Loss = Callable[[nn.Module, BoxBatch], Mapping[str, Tensor]]


@dataclass(frozen=True)
class _Parts:
    """What depends on the family of the network."""

    spec: Spec
    network: nn.Module
    facts: dict[str, Any]


def make_detection_plan(options: TrainOptions, splits: Splits, start: Artifact | None) -> Plan:
    """Put one run together.

    Args:
        options: Of the run.
        splits: The data, with its truth.
        start: Checkpoint whose spec and weights are taken as they are.

    Raises:
        DataError: A picture cannot be read, or there are too few boxes to cluster.
        UsageError: Weights or anchors do not fit the network.
    """
    own: DetectionOptions = options.task_options
    names = own.augment if own.augment is not None else DEFAULT_AUGMENT
    learned = None if own.weights is None else checkpoint_or_none(own.weights)
    image_input = start.spec.input if start is not None else _input(options, learned)
    assert isinstance(image_input, ImageInput)
    train_set = DetectionTrainSet(
        splits.train.items,
        splits.train.targets,
        image_input,
        BoxAugmentation(names, image_input.size_wh, image_input.pad_colour),
        multi_scale="multi-scale" in names,
    )
    if start is not None:
        facts = inherited_facts(start, keep_zeros=options.keep_zeros)
        parts = _Parts(start.spec, load_network(start.program()), facts)
    elif options.model in YOLO:
        parts = _yolo(options, image_input, train_set, splits.train.labels, learned)
    else:
        parts = _faster_rcnn(options, image_input, splits.train.labels)
    network = parts.network.to(memory_format=torch.channels_last)
    spec, chosen = _with_thresholds(parts.spec, own)
    return Plan(
        spec=spec,
        network=network,
        groups=freeze(network, own.freeze),
        train_set=train_set,
        weights=None,
        loss=_loss(spec, own),
        validation_loss=None,
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={**parts.facts, _CHOSEN_BY: chosen},
    )


def with_best_threshold(plan: Plan) -> Plan:
    """The plan with the score threshold of the best F1 on the validation split, unless one was given."""
    if plan.facts[_CHOSEN_BY] != _BY_F1:
        return plan
    output = plan.spec.output
    results = predict_split(plan.network, plan.spec, plan.splits.val, _JUDGED_AT_ONCE, 0)
    found = best_point(pooled(match(results, plan.splits.val.targets, len(plan.splits.val.labels))))
    if found.f1 == 0:
        return plan
    # Rounded down: the detection that decided it must stay.
    threshold = max(SCORE_FLOOR, np.floor(found.threshold * 1000) / 1000)
    output = replace(output, score_threshold=float(threshold))  # type: ignore[type-var]
    return replace(plan, spec=replace(plan.spec, output=output))


def _with_thresholds(spec: Spec, own: DetectionOptions) -> tuple[Spec, str]:
    """The spec with the thresholds that were given, and who chooses the score's."""
    output = spec.output
    if own.iou_threshold is not None and isinstance(output, YoloGridOutput):
        output = replace(output, iou_threshold=own.iou_threshold)
    if own.score_threshold is None:
        return replace(spec, output=output), _BY_F1
    output = replace(output, score_threshold=own.score_threshold)  # type: ignore[type-var]
    return replace(spec, output=output), "--score-threshold"


def _input(options: TrainOptions, learned: Artifact | None) -> ImageInput:
    """How pictures are fed: as the weights were taught, at the size that was asked for."""
    own: DetectionOptions = options.task_options
    side = own.image_size or SIDES_PX[options.model]
    if learned is not None:
        image_input = learned.spec.input
        assert isinstance(image_input, ImageInput)
        return image_input if own.image_size is None else replace(image_input, size_wh=(side, side))
    image_input = yolo_input((side, side))
    if options.model in YOLO:
        return image_input
    return replace(image_input, pad_colour=_MEAN_COLOUR, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _yolo(
    options: TrainOptions,
    image_input: ImageInput,
    train_set: DetectionTrainSet,
    labels: tuple[str, ...],
    learned: Artifact | None,
) -> _Parts:
    own: DetectionOptions = options.task_options
    strides = getattr(_build(options.model, {"classes": 1}), "strides")  # noqa: B009 (any network may have it)
    anchors = _anchors(own, train_set, len(strides), learned, options.seed)
    per_map = anchors_by_map(anchors, len(strides))
    network = Network(options.model, {"classes": len(labels), "anchors": len(per_map[0])})
    module = _build(network.name, network.arguments)
    _require_same_network(options, learned)
    if own.weights is not None:
        load_detector_weights(module, own.weights)
    output = yolo_output(labels, per_map, strides)
    facts = {"anchors_mean_iou": round(mean_best_iou(train_set.sizes_wh(), anchors), 4)}
    return _Parts(yolo_spec("detection", network, image_input, output), module, facts)


def _anchors(
    own: DetectionOptions,
    train_set: DetectionTrainSet,
    maps: int,
    learned: Artifact | None,
    seed: int,
) -> Array:
    """Width and height of each anchor, float64 (k, 2), smallest area first."""
    how = own.anchors or "kmeans"
    if how == "kmeans":
        found = kmeans_anchors(train_set.sizes_wh(), ANCHORS_PER_MAP * maps, seed)
        return found.astype(np.float64).round(1)
    if how != "keep":
        return _by_area(_read_anchors(Path(how)))
    if learned is None or not isinstance(learned.spec.output, YoloGridOutput):
        raise wrong_pair("--anchors", "keep without a checkpoint", "--weights CHECKPOINT beside it",
                         "Name what has the anchors, or use kmeans.")  # fmt: skip
    pairs = [pair for anchors in learned.spec.output.anchors_wh for pair in anchors]
    return _by_area(np.asarray(pairs, np.float64))


def _by_area(anchors_wh: Array) -> Array:
    return anchors_wh[np.argsort(anchors_wh.prod(axis=1), kind="stable")]


def _read_anchors(file: Path) -> Array:
    try:
        words = file.read_text("utf-8").replace(",", " ").split()
        anchors = np.asarray(list(map(float, words)), np.float64).reshape(-1, 2)
        if not len(anchors) or not (np.isfinite(anchors).all() and anchors.min() > 0):
            raise ValueError("sizes that are not above 0")
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UsageError(
            f"Option --anchors {file.name!r}", got=str(got),
            expected="kmeans, keep, or a file with a width and a height per line", fix="Correct it.",
        ) from error  # fmt: skip
    return anchors


def _faster_rcnn(options: TrainOptions, image_input: ImageInput, labels: tuple[str, ...]) -> _Parts:
    own: DetectionOptions = options.task_options
    arguments = {
        "classes": len(labels),
        "detections": MOST_DETECTIONS,
        "score_floor": SCORE_FLOOR,
        "iou_threshold": own.iou_threshold or DEFAULT_IOU,
        "frozen_norm": own.weights is not None,
    }
    network = _build(options.model, arguments)
    if own.weights is not None:
        load_detector_weights(network, own.weights)
    width, height = image_input.size_wh
    outputs = (
        TensorInfo(BOXES, "float32", (Dim(), MOST_DETECTIONS, 4)),
        TensorInfo(SCORES, "float32", (Dim(), MOST_DETECTIONS)),
        TensorInfo(CLASSES, "int64", (Dim(), MOST_DETECTIONS)),
    )
    taken = TensorInfo(IMAGE, "float32", (Dim(), image_input.channel_count, height, width))
    spec = Spec(
        version=SPEC_VERSION,
        name="detection",
        task="detection",
        input=image_input,
        output=FinalBoxesOutput(labels, DEFAULT_SCORE, SCORE_FLOOR),
        graphs=(Graph(MAIN_GRAPH, (taken,), outputs),),
        baked=(),
        network=Network(options.model, arguments),
    )
    return _Parts(spec, network, {})


def _build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    network: nn.Module = build_network({"name": name, "arguments": dict(arguments)})
    return network


def _require_same_network(options: TrainOptions, learned: Artifact | None) -> None:
    if learned is not None and learned.spec.network.name != options.model:
        raise wrong_pair("--weights", f"a {learned.spec.network.name} for --model {options.model}",
                         "the same network", "Leave --model out.")  # fmt: skip


def _loss(spec: Spec, own: DetectionOptions) -> _Loss:
    output = spec.output
    if not isinstance(output, YoloGridOutput):
        return _faster_rcnn_loss
    criterion = YoloLoss(
        output.anchors_wh, output.strides, len(output.labels), match_iou=own.match_iou, weights=LOSS_WEIGHTS
    )

    def loss(network: nn.Module, batch: BoxBatch) -> Mapping[str, Tensor]:
        images, targets = batch
        return criterion(network(images.contiguous(memory_format=torch.channels_last)), targets)

    return loss


def _faster_rcnn_loss(network: nn.Module, batch: BoxBatch) -> Mapping[str, Tensor]:
    images, targets = batch
    losses: Mapping[str, Tensor] = network.losses(images, targets)  # type: ignore[operator]
    return losses
