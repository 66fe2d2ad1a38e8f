"""What a foreign graph that takes a picture probably answers."""

from __future__ import annotations

from typing import NamedTuple

from sdk.foreign.guess import Notes, labels_in, labels_or_numbers, last_operator
from sdk.foreign.guess_input import DETECTOR_PX, Picture
from sdk.foreign.onnx_outline import OnnxNode, OnnxOutline, OnnxTensor
from sdk.kinds import OutputKind
from sdk.outputs.arrays import ArraysOutput
from sdk.outputs.box_rows import BoxRowsOutput
from sdk.outputs.boxes import CandidateBoxesOutput
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.outputs.embedding import EMBEDDING, EmbeddingOutput
from sdk.outputs.segmentation import LOGITS, PROBABILITIES, SegmentationOutput

SCORE_THRESHOLD, SCORE_FLOOR, IOU_THRESHOLD, MOST_BOXES = 0.25, 0.01, 0.5, 300
EMBEDDING_SIZES = (64, 128, 256, 384, 512, 768, 1024, 1280, 2048)
_FEWEST_CANDIDATES = 100
_UNKNOWN_CLASSES = 80
_ROW_VALUES = 6


class Reading(NamedTuple):
    """How outputs are read: the kind, the roles of the graph's outputs, and what the graph does already."""

    task: str
    kind: OutputKind
    roles: dict[str, str]
    baked: tuple[str, ...]


def read_answer(picture: Picture, outline: OnnxOutline, notes: Notes) -> Reading:
    """The likeliest reading of the outputs; plain arrays where none is likely."""
    tensor = outline.outputs[0]
    readings = {2: _scores_or_vector, 3: _boxes, 4: _maps}
    read = readings.get(len(tensor.shape or ()))
    floats = tensor.dtype in ("float32", "float16", "float64")
    reading = None
    if read is not None and floats and len(outline.outputs) == 1 and _per_picture(picture.tensor, tensor):
        reading = read(tensor, picture, outline, notes)
    return reading or _arrays(outline, notes)


def _per_picture(taken: OnnxTensor, given: OnnxTensor) -> bool:
    """Whether the first axis of the output counts pictures, as that of the input does."""
    pictures, rows = (taken.shape or (None,))[0], (given.shape or (None,))[0]
    if isinstance(rows, int):
        return rows == pictures
    return not isinstance(pictures, int) or len(given.shape or ()) > 2


def _scores_or_vector(tensor: OnnxTensor, _: Picture, outline: OnnxOutline, notes: Notes) -> Reading | None:
    count = (tensor.shape or ())[1]
    if not isinstance(count, int) or count < 2:
        return None
    last = last_operator(outline, tensor.name)
    operator = "nothing" if last is None else last.operator
    if last is not None and _has_unit_length(outline, last):
        notes.certain["task"] = "embedding: the graph scales its vectors to length one"
        return Reading("embedding", EmbeddingOutput(count), {tensor.name: EMBEDDING}, ("unit_length",))
    named = operator in _ENDS or labels_in(outline.metadata, count) is not None
    if count in EMBEDDING_SIZES and not named:
        notes.guessed["task"] = f"embedding: {count} numbers; write classification if they are classes"
        return Reading("embedding", EmbeddingOutput(count), {tensor.name: EMBEDDING}, ())
    return _scores(tensor, count, operator, outline, notes)


_ENDS = {"Softmax": ("softmax", True), "Sigmoid": ("sigmoid", True), "LogSoftmax": ("softmax", False)}
"""By a graph's last operator: the activation, and whether the graph has done it. The softmax of a softmax's
logarithm is that softmax."""


def _scores(tensor: OnnxTensor, count: int, operator: str, outline: OnnxOutline, notes: Notes) -> Reading:
    notes.guessed["task"] = f"classification: one row of {count} numbers per picture"
    activation, baked = _ENDS.get(operator, ("softmax", False))
    if operator in _ENDS:
        notes.certain["output.activation"] = f"the graph ends with {operator}"
    else:
        notes.guessed["output.activation"] = f"the graph ends with {operator}: one label a picture is assumed"
    labels = labels_or_numbers(outline, count, notes)
    kind = ClassificationOutput(labels, activation, top_k=min(5, count), temperature=1.0)
    return Reading("classification", kind, {tensor.name: SCORES}, ("activation",) if baked else ())


def _has_unit_length(outline: OnnxOutline, last: OnnxNode) -> bool:
    if last.operator == "LpNormalization":
        return True
    return last.operator == "Div" and _divides_by_length(outline, last.inputs)


def _divides_by_length(outline: OnnxOutline, inputs: tuple[str, ...]) -> bool:
    """Whether what is divided by comes from a norm, behind a clip against zero and an expansion."""
    name = inputs[1] if len(inputs) > 1 else ""
    for _ in range(4):
        maker = outline.maker_of(name)
        if maker is None:
            return False
        if maker.operator == "ReduceL2":
            return True
        if maker.operator not in ("Clip", "Max", "Expand", "Sqrt", "Add") or not maker.inputs:
            return False
        name = maker.inputs[0]
    return False


def _boxes(tensor: OnnxTensor, picture: Picture, outline: OnnxOutline, notes: Notes) -> Reading | None:
    _, second, third = tensor.shape or (None, None, None)
    width, height = map(float, picture.size_wh or (DETECTOR_PX, DETECTOR_PX))
    if third == _ROW_VALUES and labels_in(outline.metadata, 1) is None:
        notes.guessed["task"] = "detection: rows of x1 y1 x2 y2, score, class, after suppression"
        notes.guessed["output.extent_wh"] = "pixels of the network's input; [1, 1] for shares of it"
        labels = labels_or_numbers(outline, _UNKNOWN_CLASSES, notes)
        rows = BoxRowsOutput(labels, SCORE_THRESHOLD, SCORE_FLOOR, tensor.name, (width, height))
        return Reading("detection", rows, {}, ())
    if isinstance(second, int) and second > 4 and _many(third, second):
        layout, classes, objectness = "values_first", second - 4, False
    elif isinstance(third, int) and third > _ROW_VALUES - 1 and _many(second, third):
        layout, classes, objectness = "values_last", third - 5, True
        notes.guessed["output.objectness"] = "as in YOLOv5; without it there is one class more"
    else:
        return None
    notes.guessed["task"] = f"detection: candidates with boxes and {classes} classes"
    notes.guessed["output.layout"] = f"{tensor}: the shorter of the last two axes holds a candidate's values"
    notes.guessed["output.box_format"] = "centre and size; xyxy for corners"
    notes.guessed["output.extent_wh"] = "pixels of the network's input; [1, 1] for shares of it"
    kind = CandidateBoxesOutput(
        labels=labels_or_numbers(outline, classes, notes),
        score_threshold=SCORE_THRESHOLD,
        score_floor=SCORE_FLOOR,
        iou_threshold=IOU_THRESHOLD,
        max_detections=MOST_BOXES,
        multi_label=False,
        output=tensor.name,
        layout=layout,
        objectness=objectness,
        box_format="cxcywh",
        extent_wh=(width, height),
    )
    return Reading("detection", kind, {}, ())


def _many(extent: int | str | None, values: int) -> bool:
    return not isinstance(extent, int) or extent >= max(_FEWEST_CANDIDATES, 2 * values)


def _maps(tensor: OnnxTensor, picture: Picture, outline: OnnxOutline, notes: Notes) -> Reading | None:
    count = (tensor.shape or ())[1]
    last = last_operator(outline, tensor.name)
    ends = last is not None and last.operator == "Softmax"
    if not isinstance(count, int) or count < 2 or (count == 3 and not ends) or picture.channels_last:
        return None  # three maps are more often a picture
    notes.guessed["task"] = f"segmentation: {count} maps"
    if ends:
        notes.certain["output.activation"] = "the graph ends with Softmax"
    else:
        notes.guessed["output.activation"] = "softmax over the maps"
    kind = SegmentationOutput(labels_or_numbers(outline, count, notes), "softmax")
    role = PROBABILITIES if ends else LOGITS
    return Reading("segmentation", kind, {tensor.name: role}, ("activation",) if ends else ())


def _arrays(outline: OnnxOutline, notes: Notes) -> Reading:
    shapes = ", ".join(f"{tensor.name}: {tensor}" for tensor in outline.outputs)
    notes.guessed["task"] = f"none that is known; results are arrays ({shapes})"
    firsts = [tensor.shape[0] if tensor.shape else 0 for tensor in (*outline.inputs, *outline.outputs)]
    opens = [not isinstance(first, int) for first in firsts]
    batched = all(opens) or firsts.count(firsts[0]) == len(firsts)
    notes.guessed["output.batched"] = "the first axis counts pictures" if batched else "one picture a call"
    return Reading("", ArraysOutput(tuple(t.name for t in outline.outputs), batched), {}, ())
