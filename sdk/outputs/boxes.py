"""Detection: from what a graph gives to boxes on the original picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.outputs.box_decoding import corners, decode_grid
from sdk.outputs.box_differences import candidate_difference, final_difference
from sdk.outputs.box_placing import place_boxes
from sdk.outputs.nms import suppress
from sdk.results.detections import Detections
from sdk.schemas import COUNT, NUMBER, Schema, listed, one_of, record

BOXES, SCORES, CLASSES = "boxes", "scores", "classes"
"""Names of activated outputs, and of the graph's own where decoding is baked in."""
MOST_DETECTIONS = 1000
"""In one picture; golden samples hold so many whole."""
LAYOUTS = ("values_first", "values_last")
BOX_FORMATS = ("cxcywh", "xyxy")


@dataclass(frozen=True)
class BoxOutput(OutputKind):
    """What all kinds of boxes have in common.

    Attributes:
        labels: A name per class, in the order of the scores.
        score_threshold: Lowest score of a box in a result, 0..1.
        score_floor: Lowest score of a box that metrics are measured with: average precision asks for nearly
            all of them.
    """

    averages: ClassVar[bool] = False

    labels: tuple[str, ...]
    score_threshold: float
    score_floor: float

    def __post_init__(self) -> None:
        twice = len(set(self.labels)) != len(self.labels)
        _require("labels", self.labels, len(self.labels) >= 1 and not twice, "one or more different names")
        for name in ("score_threshold", "score_floor"):
            value = getattr(self, name)
            _require(name, value, 0 < value <= 1, "more than 0, at most 1")

    def measuring(self) -> OutputKind:
        """The same with every box down to `score_floor`."""
        return replace(self, score_threshold=self.score_floor)

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Detections` per sample, best box first.

        Raises:
            EngineError: A box or a score is NaN: the model, or its precision, is broken.
        """
        for name in (BOXES, SCORES):
            _require_numbers(name, outputs[name])
        return [self._detections(outputs, row, sample) for row, sample in enumerate(samples)]

    def _detections(self, outputs: Mapping[str, Array], row: int, sample: Sample) -> Detections:
        boxes, scores, class_ids = self._chosen({name: array[row] for name, array in outputs.items()})
        boxes_xyxy, inside = place_boxes(boxes, sample)
        boxes_xyxy, scores, class_ids = boxes_xyxy[inside], scores[inside], class_ids[inside]
        labels = tuple(self.labels[index] for index in class_ids.tolist())
        size_wh = (int(sample.geometry["width"]), int(sample.geometry["height"]))
        return Detections(boxes_xyxy, scores, class_ids, labels, sample.source, size_wh)

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        box = {
            "label": one_of(self.labels),
            "score": NUMBER,
            "box_xyxy": listed(NUMBER, least=4, most=4),
            "class_id": COUNT,
        }
        return record({"detections": listed(record(box))})

    def features(self, result: Any) -> dict[str, float | str]:
        """How many ``boxes``, the best's ``label`` and ``score``, the ``mean_score``, the mean ``area`` of
        a box as a share of the picture; zeros and no label where nothing was found.
        """
        found = len(result)
        if not found:
            return {"boxes": 0.0, "label": "", "score": 0.0, "mean_score": 0.0, "area": 0.0}
        sides = result.boxes_xyxy[:, 2:] - result.boxes_xyxy[:, :2]
        width, height = result.size_wh
        return {
            "boxes": float(found),
            "label": result.labels[0],
            "score": float(result.scores[0]),
            "mean_score": float(result.scores.mean()),
            "area": float((sides[:, 0] * sides[:, 1]).mean() / (width * height)),
        }

    @abstractmethod
    def _chosen(self, outputs: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """Boxes (n, 4) as shares, scores (n,) and classes (n,) of one picture's answer, best first."""


@dataclass(frozen=True)
class CandidateOutput(BoxOutput):
    """Boxes of which many overlap: suppression is still to be done.

    Activated outputs: ``boxes`` float32 (N, M, 4), x1 y1 x2 y2 as shares of the network's input, not clamped;
    ``scores`` float32 (N, M, K), 0..1.

    Attributes:
        iou_threshold: Intersection over union above which, of two boxes of a class, the worse one goes.
        max_detections: Boxes in a result at most, the best.
        multi_label: A box may stand for several classes; otherwise for its best one.
    """

    bakeable: ClassVar[tuple[str, ...]] = ("decode",)

    iou_threshold: float
    max_detections: int
    multi_label: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("iou_threshold", self.iou_threshold, 0 < self.iou_threshold < 1, "between 0 and 1")
        most = 1 <= self.max_detections <= MOST_DETECTIONS
        _require("max_detections", self.max_detections, most, f"from 1 to {MOST_DETECTIONS}")

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Boxes and scores of every candidate, as the class says."""
        if "decode" in baked:
            return {name: outputs[name].astype(np.float32, copy=False) for name in (BOXES, SCORES)}
        boxes, scores = self._decoded(outputs)
        return {BOXES: boxes, SCORES: scores}

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """As `OutputKind.difference`, of scores and of the boxes that have a score worth reading."""
        return candidate_difference(outputs, expected, self.score_floor)

    def final(self) -> FinalBoxesOutput:
        """The kind for the same answers after suppression."""
        return FinalBoxesOutput(self.labels, self.score_threshold, self.score_floor)

    def seen_as(self, kind: OutputKind, outputs: dict[str, Array]) -> dict[str, Array]:
        """With suppression done where `kind` is that of graphs that do it."""
        return self.suppressed(outputs) if isinstance(kind, FinalBoxesOutput) else outputs

    def suppressed(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Activated outputs as `FinalBoxesOutput` has them: what a graph with suppression inside gives.

        Every box down to `score_floor`; rows of score 0 fill up to `max_detections`.
        """
        rows = self.max_detections
        measuring = replace(self, score_threshold=self.score_floor)
        count = len(outputs[SCORES])
        final: dict[str, Array] = {
            BOXES: np.zeros((count, rows, 4), np.float32),
            SCORES: np.zeros((count, rows), np.float32),
            CLASSES: np.zeros((count, rows), np.int64),
        }
        for row in range(count):
            chosen = measuring._chosen({name: array[row] for name, array in outputs.items()})
            for name, values in zip((BOXES, SCORES, CLASSES), chosen, strict=True):
                final[name][row, : len(values)] = values
        return final

    def _chosen(self, outputs: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        scores = outputs[SCORES]
        places = np.flatnonzero(scores >= self.score_threshold)
        candidates, class_ids = np.divmod(places, scores.shape[1])
        if not self.multi_label:
            candidates = np.unique(candidates)
            class_ids = scores[candidates].argmax(axis=1)
        boxes, best = outputs[BOXES][candidates], scores[candidates, class_ids]
        kept = suppress(boxes, best, class_ids, self.iou_threshold, self.max_detections)
        return boxes[kept], best[kept], class_ids[kept]

    @abstractmethod
    def _decoded(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Boxes and scores of the graph's own outputs."""


@dataclass(frozen=True)
class YoloGridOutput(CandidateOutput):
    """The maps of YOLOv3 and its kin.

    The graph's own outputs are ``map_0``, ``map_1``, …: float32 (N, anchors * (5 + K), rows, columns), raw;
    each anchor's values together, in the order tx, ty, tw, th, objectness, classes.

    Attributes:
        anchors_wh: Per map, the width and height of each of its anchors in pixels of the network's input.
        strides: Per map, pixels of the network's input per cell.
    """

    kind: ClassVar[str] = "yolo_grid"

    anchors_wh: tuple[tuple[tuple[float, float], ...], ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = [size for anchors in self.anchors_wh for anchor in anchors for size in anchor]
        full = bool(self.anchors_wh) and all(self.anchors_wh)
        _require("anchors_wh", self.anchors_wh, full and min(sizes) > 0, "positive sizes for every map")
        fits = len(self.strides) == len(self.anchors_wh) and min(self.strides) >= 1
        _require("strides", self.strides, fits, f"{len(self.anchors_wh)} whole numbers from 1, one per map")

    def _decoded(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        parts = []
        for index, (anchors, stride) in enumerate(zip(self.anchors_wh, self.strides, strict=True)):
            raw = outputs[f"map_{index}"].astype(np.float32, copy=False)
            require_channels(f"map_{index}", raw.shape[1], len(anchors), len(self.labels))
            parts.append(decode_grid(raw, anchors, stride))
        boxes, scores = zip(*parts, strict=True)
        return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1)


@dataclass(frozen=True)
class CandidateBoxesOutput(CandidateOutput):
    """One tensor of decoded candidates, as many exporters write it.

    Attributes:
        output: Name of the graph's output.
        layout: ``values_first`` (N, 4 + K, M), as of Ultralytics since v8; ``values_last`` (N, M, 4 + K), as
            of YOLOv5, there with objectness.
        objectness: A fifth value stands before the class scores, and is a factor of each.
        box_format: ``cxcywh`` (centre and size) or ``xyxy`` (corners).
        extent_wh: What x and y are divided by to be shares of the network's input: its width and height where
            boxes are in pixels, (1, 1) where they are shares.
    """

    kind: ClassVar[str] = "candidate_boxes"

    output: str
    layout: str
    objectness: bool
    box_format: str
    extent_wh: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("layout", self.layout, self.layout in LAYOUTS, f"one of {LAYOUTS}")
        _require("box_format", self.box_format, self.box_format in BOX_FORMATS, f"one of {BOX_FORMATS}")
        _require("extent_wh", self.extent_wh, min(self.extent_wh) > 0, "two positive numbers")

    @property
    def first_class(self) -> int:
        """Where the class scores begin among a candidate's values."""
        return 5 if self.objectness else 4

    def _decoded(self, outputs: Mapping[str, Array]) -> tuple[Array, Array]:
        values = outputs[self.output].astype(np.float32, copy=False)
        if self.layout == "values_first":
            values = values.transpose(0, 2, 1)
        wanted = self.first_class + len(self.labels)
        if values.shape[2] != wanted:
            raise EngineError(
                f"Output {self.output!r}",
                got=f"{values.shape[2]} values per candidate",
                expected=f"{wanted}: {self.first_class} and one per class",
                fix="Correct the labels, layout or objectness of the spec.",
            )
        boxes, scores = values[..., :4], values[..., self.first_class :]
        if self.box_format == "cxcywh":
            boxes = corners(boxes)
        if self.objectness:
            scores = scores * values[..., 4:5]
        return boxes / np.array(self.extent_wh * 2, np.float32), np.ascontiguousarray(scores)


@dataclass(frozen=True)
class FinalBoxesOutput(BoxOutput):
    """Boxes after suppression, which the graph itself has done.

    The graph's outputs: ``boxes`` float32 (N, D, 4), x1 y1 x2 y2 as shares of the network's input; ``scores``
    float32 (N, D), 0..1; ``classes`` int64 (N, D). Rows that stand for nothing have score 0.
    """

    kind: ClassVar[str] = "final_boxes"
    bakeable: ClassVar[tuple[str, ...]] = ()

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """The graph's outputs as they are."""
        return {
            BOXES: outputs[BOXES].astype(np.float32, copy=False),
            SCORES: outputs[SCORES].astype(np.float32, copy=False),
            CLASSES: outputs[CLASSES].astype(np.int64, copy=False),
        }

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """Boxes are compared with their likest: by coordinates and score; see `final_difference`."""
        if expected[CLASSES].shape[-1] > MOST_DETECTIONS:
            return super().difference(outputs, expected)
        return final_difference(outputs, expected, self.score_floor)

    def _chosen(self, outputs: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        scores, class_ids = outputs[SCORES], outputs[CLASSES]
        rows = np.flatnonzero(scores >= self.score_threshold)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        known = class_ids[rows]
        if len(known) and not 0 <= known.min() <= known.max() < len(self.labels):
            raise EngineError(
                "Output 'classes'",
                got=f"{known.min()}..{known.max()}",
                expected=f"0..{len(self.labels) - 1}",
                fix="Write a label for every class into the spec.",
            )
        return outputs[BOXES][rows], scores[rows], known


def require_channels(name: str, channels: int, anchors: int, classes: int) -> None:
    """Refuse a map whose channels are not as many as its anchors and classes need.

    Raises:
        SpecError: They are not.
    """
    if channels == anchors * (5 + classes):
        return
    raise SpecError(
        f"Output {name!r}",
        got=f"{channels} channels for {anchors} anchors",
        expected=f"{anchors * (5 + classes)}: {anchors} times 5 and {classes} classes",
        fix="Give the map as many anchors as its network was built for.",
    )


def _require_numbers(name: str, array: Array) -> None:
    smallest = array.min(initial=0.0)
    if smallest != smallest:  # noqa: PLR0124 - NaN, which min() carries through; isnan() costs microseconds
        raise EngineError(
            f"Output {name!r}",
            got="NaN",
            expected="finite numbers",
            fix="Export in fp32, or train again: the network overflows.",
        )


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
