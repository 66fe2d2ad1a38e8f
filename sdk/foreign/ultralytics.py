"""Files that Ultralytics exported: their own notes say how they are fed and read.

`.onnx`: ``metadata_props``, every value as Python text. `.engine`: four bytes with the length of a JSON
object, little-endian, the object, and then TensorRT's plan. Read as Ultralytics 8.4 writes them; exports of
YOLOv5 (``stride`` and ``names`` alone) and of YOLOv8 to YOLO26 hold the same entries.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtimes import SpecError, TensorInfo
from sdk.inputs.image import IMAGE, OPENCV_BILINEAR, ImageInput
from sdk.kinds import OutputKind
from sdk.outputs.arrays import ArraysOutput
from sdk.outputs.box_rows import BoxRowsOutput
from sdk.outputs.boxes import CandidateBoxesOutput
from sdk.outputs.classification import SCORES, ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

TASKS = ("detect", "classify")
"""Whose answers become typed results; those of the others (segment, pose, obb) are given as arrays."""
SCORE_THRESHOLD, IOU_THRESHOLD, MOST_BOXES = 0.25, 0.7, 300
"""What Ultralytics predicts with unless told otherwise."""
SCORE_FLOOR = 0.001
"""What it measures average precision with."""
GREY_LEVEL = 114
_DEFAULT_PX = 640
_LENGTH_BYTES = 4
_LONGEST_NOTE = 16 << 20
_ONE_TO_ONE_IOU = 0.99
"""RT-DETR gives one box per object: next to nothing is left to suppress."""


@dataclass(frozen=True)
class UltralyticsNote:
    """What such a file says of itself.

    Attributes:
        task: ``detect``, ``classify``, ``segment``, ``pose``, ``obb``, …
        labels: A name per class.
        size_wh: Of the network's input in pixels; None where it does not say.
        channels: Of the network's input.
        head: Name of the network's last part; may be empty.
        final: Overlapping boxes are suppressed in the graph.
        old: Written by YOLOv5's own exporter, which says neither task nor head.
        version: Of the exporter; may be empty.
    """

    task: str
    labels: tuple[str, ...]
    size_wh: tuple[int, int] | None
    channels: int
    head: str
    final: bool
    old: bool
    version: str


def read_note(metadata: Mapping[str, Any], name: str) -> UltralyticsNote | None:
    """The note in a file's metadata; None where Ultralytics did not write it.

    Args:
        metadata: Values as text, as in `.onnx`, or as JSON data, as in `.engine`.
        name: Of the file, for messages.

    Raises:
        SpecError: It did, but an entry cannot be read.
    """
    if "names" not in metadata or not {"stride", "task"} & set(metadata):
        return None
    values = {key: _value(key, value, name) for key, value in metadata.items() if key in _LITERALS}
    names = values["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise _unreadable("names", names, name)
    try:
        labels = tuple(str(names[key]) for key in sorted(names, key=int))
        size = values.get("imgsz")
        size_wh = None if size is None else _size_wh(size)
        channels = int(metadata.get("channels", 3))
    except (TypeError, ValueError) as error:
        raise _unreadable("names, imgsz or channels", error, name) from error
    arguments = values.get("args")
    suppressed = isinstance(arguments, dict) and bool(arguments.get("nms"))
    return UltralyticsNote(
        task=str(metadata.get("task", "detect")),
        labels=labels,
        size_wh=size_wh,
        channels=channels,
        head=str(metadata.get("head", "")),
        final=suppressed or values.get("end2end") is True,
        old="task" not in metadata,
        version=str(metadata.get("version", "")),
    )


def split_engine(data: bytes) -> tuple[dict[str, Any], int] | None:
    """The note in front of an `.engine`'s plan, and where the plan begins; None where there is no note."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    end = _LENGTH_BYTES + length
    if not 2 <= length <= _LONGEST_NOTE or end > len(data) or data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        return None
    try:
        note = json.loads(data[_LENGTH_BYTES:end])
    except (ValueError, RecursionError):
        return None
    return (note, end) if isinstance(note, dict) else None


def ultralytics_spec(
    note: UltralyticsNote, name: str, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
) -> Spec:
    """The contract that the note stands for.

    Args:
        note: What the file says.
        name: For the spec.
        inputs: Of the graph.
        outputs: Likewise.

    Raises:
        SpecError: The graph is not one that Ultralytics writes.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or note.channels not in (1, 3):
        raise SpecError(
            f"Ultralytics file {name!r}",
            got=f"inputs {[f'{i.name}: {i}' for i in inputs]} and {note.channels} channels",
            expected="one picture (N, 1 or 3, H, W)",
            fix="Write a spec for it: edgewright inspect --propose-spec FILE.",
        )
    size_wh = _graph_size(inputs[0]) or note.size_wh or (_DEFAULT_PX, _DEFAULT_PX)
    output, roles, baked = _reading(note, outputs, size_wh)
    return Spec(
        version=SPEC_VERSION,
        name=name,
        task="own",
        input=_feeding(note, size_wh),
        output=output,
        graphs=(Graph("main", tuple(inputs), tuple(outputs), {inputs[0].name: IMAGE, **roles}),),
        baked=baked,
        network=Network("foreign", {"made_by": f"Ultralytics {note.version}".strip(), "task": note.task}),
    )


def _feeding(note: UltralyticsNote, size_wh: tuple[int, int]) -> ImageInput:
    """Letterboxed on grey for boxes, shortest side and centre for classes; RGB, 0..1."""
    classes = note.task == "classify"
    square = size_wh[0] == size_wh[1]
    whole = note.head == "RTDETRDecoder" or (classes and not square)
    resize = "stretch" if whole else "shortest" if classes else "letterbox"
    count = note.channels
    return ImageInput(
        channels="rgb" if count == 3 else "grey",
        size_wh=size_wh,
        resize=resize,
        shortest_px=size_wh[0] if resize == "shortest" else None,
        # Boxes: OpenCV's resize; classes: torchvision's, on PIL images.
        filter="bilinear" if classes else OPENCV_BILINEAR,
        pad_colour=(GREY_LEVEL,) * 3,
        alpha_colour=(255, 255, 255),
        scale=1 / 255,
        mean=(0.0,) * count,
        std=(1.0,) * count,
        jpeg_scaling="full",
        views=("identity",),
    )


def _reading(
    note: UltralyticsNote, outputs: Sequence[TensorInfo], size_wh: tuple[int, int]
) -> tuple[OutputKind, dict[str, str], tuple[str, ...]]:
    """How the outputs are read, their roles, and what the graph does already."""
    first, labels = outputs[0], note.labels
    if note.task == "classify" and len(first.shape) == 2:
        kind = ClassificationOutput(
            labels=labels, activation="softmax", top_k=min(5, len(labels)), temperature=1.0
        )
        return kind, {first.name: SCORES}, ("activation",)
    if note.task == "detect" and len(first.shape) == 3 and len(outputs) == 1:
        boxes = _boxes(note, first, size_wh)
        if boxes is not None:
            return boxes, {}, ()
    return ArraysOutput(tuple(info.name for info in outputs), batched=True), {}, ()


def _boxes(note: UltralyticsNote, info: TensorInfo, size_wh: tuple[int, int]) -> OutputKind | None:
    _, second, third = info.shape
    width, height = float(size_wh[0]), float(size_wh[1])
    classes = len(note.labels)
    if note.final:
        return BoxRowsOutput(note.labels, SCORE_THRESHOLD, SCORE_FLOOR, info.name, (width, height))
    detr = note.head == "RTDETRDecoder"
    if note.old:
        layout, objectness, values, wanted = "values_last", True, third, 5 + classes
    elif detr:
        layout, objectness, values, wanted = "values_last", False, third, 4 + classes
    else:
        layout, objectness, values, wanted = "values_first", False, second, 4 + classes
    if (
        isinstance(values, int) and values != wanted
    ):  # an export with open sides may leave this axis open, too
        return None
    return CandidateBoxesOutput(
        labels=note.labels,
        score_threshold=SCORE_THRESHOLD,
        score_floor=SCORE_FLOOR,
        iou_threshold=_ONE_TO_ONE_IOU if detr else IOU_THRESHOLD,
        max_detections=MOST_BOXES,
        multi_label=False,
        output=info.name,
        layout=layout,
        objectness=objectness,
        box_format="cxcywh",
        extent_wh=(1.0, 1.0) if detr else (width, height),
    )


_LITERALS = ("names", "imgsz", "args", "end2end")


def _value(key: str, value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        if key == "args":
            return None  # only looked at for suppression, and written with whatever the user gave
        raise _unreadable(key, value[:60], name) from error


def _size_wh(size: Any) -> tuple[int, int]:
    """From Ultralytics' height and width, or one number for both."""
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
    if min(height, width) < 1:
        raise ValueError(f"imgsz {size}")
    return width, height


def _graph_size(info: TensorInfo) -> tuple[int, int] | None:
    height, width = info.shape[2:]
    return (width, height) if isinstance(height, int) and isinstance(width, int) else None


def _unreadable(key: str, value: Any, name: str) -> SpecError:
    return SpecError(
        f"Ultralytics file {name!r}",
        got=f"{key} = {value!r}",
        expected="what Ultralytics' exporter writes",
        fix="Export it again, or pass a spec: edgewright inspect --propose-spec FILE.",
    )
