"""Specs, maps and samples of detectors, for tests of what reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from sdk.kinds import Sample
from sdk.outputs.boxes import YoloGridOutput

LABELS = ("cat", "dog", "cup")
ANCHORS_WH = (((32.0, 16.0), (48.0, 64.0)), ((8.0, 8.0), (16.0, 12.0)))
STRIDES = (32, 16)
SIZE_WH = (128, 64)


def grid_output(**changes: object) -> YoloGridOutput:
    """Two maps, two anchors each."""
    plain = YoloGridOutput(
        labels=LABELS,
        score_threshold=0.25,
        score_floor=0.01,
        iou_threshold=0.5,
        max_detections=100,
        multi_label=False,
        anchors_wh=ANCHORS_WH,
        strides=STRIDES,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def raw_maps(seed: int, count: int = 2, size_wh: tuple[int, int] = SIZE_WH) -> dict[str, np.ndarray]:
    """Maps of a network that sees something nearly everywhere."""
    generator = np.random.default_rng(seed)
    return {
        f"map_{index}": generator.normal(
            0, 1.5, (count, 2 * (5 + len(LABELS)), size_wh[1] // stride, size_wh[0] // stride)
        ).astype(np.float32)
        for index, stride in enumerate(STRIDES)
    }


def letterboxed(original_wh: tuple[int, int] = (640, 480), size_wh: tuple[int, int] = SIZE_WH) -> Sample:
    """A picture fitted into the network's input and centred there."""
    ratio = min(size_wh[0] / original_wh[0], size_wh[1] / original_wh[1])
    inner = round(original_wh[0] * ratio), round(original_wh[1] * ratio)
    geometry = {
        "width": float(original_wh[0]),
        "height": float(original_wh[1]),
        "scale_x": inner[0] / original_wh[0],
        "scale_y": inner[1] / original_wh[1],
        "offset_x": float((size_wh[0] - inner[0]) // 2),
        "offset_y": float((size_wh[1] - inner[1]) // 2),
    }
    pixels = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    return Sample({"image": pixels}, Image.new("RGB", original_wh, (90, 120, 90)), geometry)


def candidates(boxes: list[list[float]], scores: list[list[float]], rows: int = 1) -> dict[str, np.ndarray]:
    """Activated outputs of one picture, repeated."""
    return {
        "boxes": np.repeat(np.array([boxes], np.float32), rows, axis=0),
        "scores": np.repeat(np.array([scores], np.float32), rows, axis=0),
    }
