"""Torchvision's Faster R-CNN (Ren et al. 2015) without its resizing: the spec does that, everywhere alike.

The parts keep torchvision's names (``backbone``, ``rpn``, ``roi_heads``), and so do the weights: a state dict
of torchvision's fits, but for the heads of other classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

_LOSSES = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
}
"""Torchvision's names, and ours."""
_COCO_NORM_EPS = {"fasterrcnn_resnet50_fpn": 0.0, "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5}
"""Of the frozen normalisation that torchvision's COCO weights were trained with."""


class FasterRcnn(nn.Module):
    """Backbone, region proposals, and a head that judges each region.

    Class attributes:
        data_dependent_operators: What keeps it from compilers that plan memory ahead: the extents of what
            these give depend on the picture. Export reads this.

    Attributes:
        detections: Rows of its answer per picture.

    Args:
        parts: Torchvision's network.
        detections: Boxes per picture at most.
    """

    data_dependent_operators: ClassVar[tuple[str, ...]] = ("torchvision::nms", "torchvision::roi_align")

    def __init__(self, parts: detection.FasterRCNN, detections: int) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = parts.backbone, parts.rpn, parts.roi_heads
        for head in (self.rpn, self.roi_heads):
            head.box_coder = _BoxCoder(head.box_coder.weights, head.box_coder.bbox_xform_clip)
        self.detections = detections

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes after suppression.

        Args:
            image: float32 (N, 3, H, W), normalised.

        Returns:
            Boxes float32 (N, D, 4), x1 y1 x2 y2 as shares of the picture; scores float32 (N, D), best first;
            and classes int64 (N, D) from 0. Rows that stand for nothing are all 0.
        """
        height, width = int(image.shape[2]), int(image.shape[3])
        with _mode(self, training=False):
            found, _ = self._run(image, None)
        extent = torch.tensor([width, height, width, height], dtype=torch.float32, device=image.device)
        boxes = torch.stack([_padded(one["boxes"] / extent, self.detections) for one in found])
        scores = torch.stack([_padded(one["scores"], self.detections) for one in found])
        # Torchvision's class 0 is the background; rows without a score are filled up with it.
        classes = torch.stack([_padded(one["labels"] - 1, self.detections) for one in found])
        return boxes, scores, classes

    def losses(self, image: Tensor, targets: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """What is learned from; gradients flow in training and in eval mode alike.

        Args:
            image: float32 (N, 3, H, W), normalised.
            targets: Per picture, boxes float32 (n, 4), x1 y1 x2 y2 in pixels of `image`, and classes int64
                (n,) from 0. A picture may have none.

        Returns:
            ``loss``, which is the sum of ``class``, ``box``, ``objectness`` and ``proposal_box``.
        """
        wanted = [
            {"boxes": boxes.to(torch.float32).reshape(-1, 4), "labels": classes.to(torch.int64) + 1}
            for boxes, classes in targets
        ]
        with _mode(self, training=True):
            _, losses = self._run(image, wanted)
        named = {ours: losses[theirs] for theirs, ours in _LOSSES.items()}
        return {"loss": torch.stack(list(named.values())).sum(), **named}

    def _run(
        self, image: Tensor, targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        sizes = [(int(image.shape[2]), int(image.shape[3]))] * len(image)
        features = self.backbone(image)
        proposals, proposal_losses = self.rpn(ImageList(image, sizes), features, targets)
        found, losses = self.roi_heads(features, proposals, sizes, targets)
        return found, {**losses, **proposal_losses}


class _BoxCoder(BoxCoder):
    """Torchvision's, which leaves its last step out where there is no region to decode (0.29): a trace that
    was taken of such a picture would be wrong for all others.
    """

    def decode(self, rel_codes: Tensor, boxes: list[Tensor]) -> Tensor:
        """Offsets (n, 4 * K) of boxes that are n in all, as boxes (n, K, 4)."""
        decoded: Tensor = self.decode_single(rel_codes, torch.cat(boxes))
        return decoded.reshape(-1, int(rel_codes.shape[1]) // 4, 4)


def fasterrcnn_mobilenet_v3_large_320_fpn(classes: int, **options: Any) -> nn.Module:
    """19 million weights, for pictures of about 320 pixels. See `_build` for the options."""
    return _build("fasterrcnn_mobilenet_v3_large_320_fpn", classes, **options)


def fasterrcnn_resnet50_fpn(classes: int, **options: Any) -> nn.Module:
    """42 million weights, for pictures of about 800 pixels. See `_build` for the options."""
    return _build("fasterrcnn_resnet50_fpn", classes, **options)


def _build(
    name: str,
    classes: int,
    *,
    detections: int = 100,
    score_floor: float = 0.01,
    iou_threshold: float = 0.5,
    frozen_norm: bool = False,
) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: Torchvision's builder.
        classes: Number of object classes, at least 1; the background is not counted.
        detections: Boxes per picture at most.
        score_floor: Boxes below it are not given at all.
        iou_threshold: Of two boxes of a class that overlap more than this, the worse one goes.
        frozen_norm: Normalisation whose statistics do not move, as fine-tuning with few pictures a step
            wants it; the weights it was trained with have to be loaded. Otherwise batch normalisation.
    """
    parts = getattr(detection, name)(
        weights=None,
        weights_backbone=None,
        num_classes=classes + 1,
        box_detections_per_img=detections,
        box_score_thresh=score_floor,
        box_nms_thresh=iou_threshold,
    )
    network = FasterRcnn(parts, detections)
    if frozen_norm:
        _freeze_norm(network, _COCO_NORM_EPS[name])
    return network


def _freeze_norm(module: nn.Module, eps: float) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=eps))
        else:
            _freeze_norm(child, eps)


def _padded(rows: Tensor, count: int) -> Tensor:
    filler = rows.new_zeros((count, *rows.shape[1:]))
    return torch.cat([rows, filler])[:count]


@contextmanager
def _mode(network: FasterRcnn, *, training: bool) -> Iterator[None]:
    """Let proposals and head do what they do in training, or not; the backbone stays in its own mode."""
    heads = (network.rpn, network.roi_heads)
    before = [head.training for head in heads]
    for head in heads:
        head.training = training
    try:
        yield
    finally:
        for head, mode in zip(heads, before, strict=True):
            head.training = mode
