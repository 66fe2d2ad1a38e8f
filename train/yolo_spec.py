"""The spec of a YOLOv3 network: the same whether it was trained here or imported."""

from __future__ import annotations

from collections.abc import Sequence

from runtimes import MAIN_GRAPH, Dim, TensorInfo
from sdk.inputs.image import IMAGE, ImageInput
from sdk.outputs.boxes import YoloGridOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

DETECTION = "detection"
"""The task."""
PAD_COLOUR = (128, 128, 128)
"""Darknet letterboxes on 0.5."""
WHITE = (255, 255, 255)
DEFAULT_SCORE, SCORE_FLOOR = 0.25, 0.01
DEFAULT_IOU = 0.45
MAX_DETECTIONS = 300
"""Aerial pictures hold more objects than the hundred that COCO counts."""


def yolo_input(size_wh: tuple[int, int]) -> ImageInput:
    """RGB in 0..1, letterboxed, as Darknet feeds its networks."""
    return ImageInput(
        channels="rgb",
        size_wh=size_wh,
        resize="letterbox",
        shortest_px=None,
        filter="bilinear",
        pad_colour=PAD_COLOUR,
        alpha_colour=WHITE,
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        jpeg_scaling="full",
        views=("identity",),
    )


def yolo_output(
    labels: tuple[str, ...],
    anchors_wh: Sequence[Sequence[tuple[float, float]]],
    strides: Sequence[int],
    score_threshold: float = DEFAULT_SCORE,
) -> YoloGridOutput:
    """How the maps are read.

    Args:
        labels: A name per class.
        anchors_wh: In pixels of the network's input, per map, coarsest first.
        strides: Per map.
        score_threshold: Lowest score of a box in a result.
    """
    return YoloGridOutput(
        labels=labels,
        score_threshold=score_threshold,
        score_floor=SCORE_FLOOR,
        iou_threshold=DEFAULT_IOU,
        max_detections=MAX_DETECTIONS,
        multi_label=False,
        anchors_wh=tuple(tuple(anchors) for anchors in anchors_wh),
        strides=tuple(strides),
    )


def yolo_spec(name: str, network: Network, image: ImageInput, output: YoloGridOutput) -> Spec:
    """The whole contract of a checkpoint.

    Args:
        name: The model's.
        network: Its builder and arguments.
        image: What it is fed; sides multiples of the largest stride.
        output: How its maps are read.
    """
    width, height = image.size_wh
    maps = tuple(
        TensorInfo(
            f"map_{number}",
            "float32",
            (Dim(), len(anchors) * (5 + len(output.labels)), height // stride, width // stride),
        )
        for number, (anchors, stride) in enumerate(zip(output.anchors_wh, output.strides, strict=True))
    )
    taken = TensorInfo(IMAGE, "float32", (Dim(), image.channel_count, height, width))
    return Spec(
        version=SPEC_VERSION,
        name=name,
        task=DETECTION,
        input=image,
        output=output,
        graphs=(Graph(MAIN_GRAPH, (taken,), maps),),
        baked=(),
        network=network,
    )
