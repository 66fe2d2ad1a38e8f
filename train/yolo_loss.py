"""The loss of YOLOv3: what it costs where the raw maps and the objects of a picture differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import box_iou, complete_box_iou_loss

from sdk.outputs.box_decoding import LARGEST_LOG_SCALE
from sdk.outputs.boxes import require_channels
from train.yolo_matching import Answers, Target, Truth, gather_truth, match


class LossWeights(NamedTuple):
    """Factors of the three terms."""

    box: float = 2.0
    objectness: float = 1.0
    classes: float = 1.0


class YoloLoss:
    """The loss of a network's raw maps (after Redmon & Farhadi 2018, "YOLOv3", sections 2.1 to 2.3).

    An object belongs to the cell that its centre lies in, and there to the anchor whose shape is likest to
    its box among the anchors of all maps. That prediction pays ``1 - CIoU`` for its box (Zheng et al. 2020,
    "Distance-IoU Loss", equation 10), where the paper has squared errors; binary cross-entropy for
    objectness 1; and that of its classes, summed. Every other prediction pays for objectness 0, unless its
    box overlaps an object of the picture by more than `ignore_iou`: it is not wrong, only not the one asked.

    Each term is summed over the batch and divided by the number of answering predictions, or by that of
    pictures where they are more. Anchors are pixels: they stay as they are while the pictures' size changes
    from call to call.

    Args:
        anchors_wh: Width and height in pixels of each anchor, per map, coarsest map first.
        strides: Pixels per cell, per map.
        classes: Number of object classes.
        ignore_iou: As above; Darknet has 0.7.
        match_iou: Anchors whose shape overlaps the object's by more than this answer for it beside the
            likest, as Darknet does since YOLOv4 (0.213 there). 1: none do.
        weights: Factors of the terms.
    """

    def __init__(
        self,
        anchors_wh: Sequence[Sequence[tuple[float, float]]],
        strides: Sequence[int],
        classes: int,
        *,
        ignore_iou: float = 0.7,
        match_iou: float = 1.0,
        weights: LossWeights | None = None,
    ) -> None:
        if len(anchors_wh) != len(strides):
            raise ValueError(f"anchors for {len(anchors_wh)} maps, strides for {len(strides)}")
        self._anchors = [torch.tensor([list(pair) for pair in anchors]) for anchors in anchors_wh]
        self._strides = tuple(strides)
        self._classes = classes
        self._ignore_iou = ignore_iou
        self._match_iou = match_iou
        self._weights = weights or LossWeights()

    def __call__(self, maps: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """The loss and its weighted terms.

        Args:
            maps: Raw float (N, anchors * (5 + classes), rows, columns), coarsest first.
            targets: What is true, per picture.

        Returns:
            Scalars: ``loss``, and what it is the sum of: ``box``, ``objectness`` and ``class``.

        Raises:
            SpecError: A map's channels do not fit its anchors and the classes.
            ValueError: A box without an area, or a class out of range.
        """
        device = maps[0].device
        truth = gather_truth(targets, self._classes, device)
        anchors = [each.to(device) for each in self._anchors]
        sizes_hw = [(int(raw.shape[2]), int(raw.shape[3])) for raw in maps]
        answers = match(truth, anchors, self._strides, sizes_hw, self._match_iou)
        sums = torch.zeros(3, device=device)
        for number, raw in enumerate(maps):
            require_channels(f"map_{number}", raw.shape[1], len(anchors[number]), self._classes)
            # (N, anchors, rows, columns, 5 + classes), in 32 bit whatever the network computed in.
            cells = raw.float().unflatten(1, (len(anchors[number]), -1)).permute(0, 1, 3, 4, 2)
            sums = sums + self._terms(cells, anchors[number], self._strides[number], truth, answers[number])
        answering = sum(len(each.truth) for each in answers)
        box, objectness, classes = sums * sums.new_tensor(self._weights) / max(answering, len(targets), 1)
        return {"loss": box + objectness + classes, "box": box, "objectness": objectness, "class": classes}

    def _terms(self, cells: Tensor, anchors: Tensor, stride: int, truth: Truth, answers: Answers) -> Tensor:
        """Sums of the box, objectness and class terms of one map, unweighted: (3,)."""
        image = truth.image[answers.truth]
        predicted = cells[image, answers.anchor, answers.row, answers.column]
        corners = torch.stack((answers.column, answers.row), dim=1)
        boxes = decode_boxes(predicted, anchors[answers.anchor], corners, stride)
        box = complete_box_iou_loss(boxes, truth.boxes_xyxy[answers.truth], reduction="sum")
        wanted = torch.zeros_like(predicted[:, 5:])
        wanted[torch.arange(len(wanted), device=wanted.device), truth.classes[answers.truth]] = 1.0
        classes = binary_cross_entropy_with_logits(predicted[:, 5:], wanted, reduction="sum")
        asked = self._asked(cells.detach(), anchors, stride, truth)
        objects = torch.zeros_like(cells[..., 4])
        objects[image, answers.anchor, answers.row, answers.column] = 1.0
        costs = binary_cross_entropy_with_logits(cells[..., 4], objects, reduction="none")
        objectness = (costs * (asked | (objects > 0))).sum()
        return torch.stack((box, objectness, classes))

    def _asked(self, cells: Tensor, anchors: Tensor, stride: int, truth: Truth) -> Tensor:
        """Which boxes overlap no object by more than `ignore_iou`: bool (N, anchors, rows, columns)."""
        count, _, rows, columns, _ = cells.shape
        y, x = torch.meshgrid(
            torch.arange(rows, device=cells.device), torch.arange(columns, device=cells.device), indexing="ij"
        )
        boxes = decode_boxes(cells, anchors[:, None, None], torch.stack((x, y), dim=2), stride)
        asked = torch.ones(cells.shape[:-1], dtype=torch.bool, device=cells.device)
        for row in range(count):
            objects = truth.boxes_xyxy[truth.image == row]
            if len(objects):
                best = box_iou(boxes[row].reshape(-1, 4), objects).amax(dim=1)
                asked[row] = (best <= self._ignore_iou).reshape(asked[row].shape)
        return asked


def decode_boxes(raw: Tensor, anchors_wh: Tensor, corners_xy: Tensor, stride: int) -> Tensor:
    """Predicted boxes, by the formula of `sdk.outputs.box_decoding.decode_grid`, in pixels.

    Args:
        raw: (..., 4 or more): tx, ty, tw, th in front.
        anchors_wh: (..., 2) in pixels.
        corners_xy: (..., 2) column and row of the cell.
        stride: Pixels per cell.

    Returns:
        (..., 4): x1 y1 x2 y2.
    """
    centres = (raw[..., 0:2].sigmoid() + corners_xy) * stride
    half = raw[..., 2:4].clamp(max=LARGEST_LOG_SCALE).exp() * anchors_wh / 2
    return torch.cat((centres - half, centres + half), dim=-1)
