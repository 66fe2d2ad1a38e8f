"""Which predictions of a grid detector answer for which object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from train.anchors import shape_iou

Target = tuple[Tensor, Tensor]
"""What is true of one picture: boxes float32 (n, 4), x1 y1 x2 y2 in pixels of the network's input, and their
classes int64 (n,)."""


class Truth(NamedTuple):
    """Every object of a batch: the row of its picture (T,), its box (T, 4) in pixels, its class (T,)."""

    image: Tensor
    boxes_xyxy: Tensor
    classes: Tensor


class Answers(NamedTuple):
    """Predictions of one map that answer for an object: object, anchor, row and column, int64 (P,) each."""

    truth: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor


def gather_truth(targets: Sequence[Target], classes: int, device: torch.device) -> Truth:
    """All objects of a batch in one row of tensors.

    Raises:
        ValueError: A box without an area, or a class that is not one of `classes`.
    """
    counts = [len(boxes) for boxes, _ in targets]
    image = torch.repeat_interleave(torch.arange(len(targets)), torch.tensor(counts, dtype=torch.int64))
    boxes = torch.cat([boxes.reshape(-1, 4) for boxes, _ in targets]).to(torch.float32)
    labels = torch.cat([labels.reshape(-1) for _, labels in targets]).to(torch.int64)
    if len(boxes):
        if not bool((boxes[:, 2:] > boxes[:, :2]).all()):
            raise ValueError("a box whose right or lower side is not beyond its left or upper one")
        if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(f"classes {int(labels.min())}..{int(labels.max())} of {classes}")
    return Truth(image.to(device), boxes.to(device), labels.to(device))


def match(
    truth: Truth,
    anchors: Sequence[Tensor],
    strides: Sequence[int],
    sizes_hw: Sequence[tuple[int, int]],
    match_iou: float,
) -> list[Answers]:
    """Give every object its answering predictions.

    Args:
        truth: The objects of a batch.
        anchors: Per map, float32 (A, 2) width and height in pixels.
        strides: Per map, pixels per cell.
        sizes_hw: Per map, rows and columns.
        match_iou: Anchors whose shape overlaps the object's by more than this answer beside the likest one.

    Returns:
        Per map, who answers. Two objects that fall on the same prediction both keep it.
    """
    sizes = truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2]
    centres = (truth.boxes_xyxy[:, 2:] + truth.boxes_xyxy[:, :2]) / 2
    overlaps = shape_iou(sizes, torch.cat(list(anchors)))
    chosen = overlaps > match_iou
    chosen[torch.arange(len(sizes), device=sizes.device), overlaps.argmax(dim=1)] = True
    answers = []
    for mine, stride, (rows, columns) in zip(
        chosen.split([len(each) for each in anchors], dim=1), strides, sizes_hw, strict=True
    ):
        objects, anchor = torch.nonzero(mine, as_tuple=True)
        cell = (centres[objects] / stride).to(torch.int64)
        # A centre on the far edge of the picture belongs to the last cell.
        answers.append(
            Answers(objects, anchor, cell[:, 1].clamp(0, rows - 1), cell[:, 0].clamp(0, columns - 1))
        )
    return answers
