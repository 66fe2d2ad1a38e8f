"""YOLOv3 (Redmon & Farhadi 2018): Darknet-53 with a feature pyramid of three scales, and its tiny sister.

Both give one raw map a scale, coarsest first: float32 (N, anchors·(5 + classes), H / stride, W / stride). The
channels of an anchor are x, y, width, height, objectness and the classes, all before any activation, as
Darknet orders them. Anchors, decoding and suppression are not here: they belong to the spec, so that training
and every runtime read the maps alike.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from train.networks.darknet_blocks import (
    ConvolutionBlock,
    Residual,
    SameSizePool,
    Section,
    initialise,
    sections_of,
)

COLOUR_CHANNELS = 3
STAGE_DEPTHS = (1, 2, 8, 8, 4)
"""Residual blocks of Darknet-53's stages, each at half the size and twice the width of the one before."""


def yolov3(classes: int, anchors: int = 3) -> nn.Module:
    """Darknet-53 with three detection scales: 62 million weights, strides 32, 16 and 8.

    Args:
        classes: Number of object classes, at least 1.
        anchors: Boxes that each cell of a map predicts.

    Returns:
        A module that takes float32 (N, 3, H, W), sides multiples of 32, and gives a tuple of three raw maps.
    """
    return YoloV3(_checked(classes, anchors), anchors)


def yolov3_tiny(classes: int, anchors: int = 3) -> nn.Module:
    """Seven plain convolutions with two detection scales: 9 million weights, strides 32 and 16.

    Args:
        classes: Number of object classes, at least 1.
        anchors: Boxes that each cell of a map predicts.

    Returns:
        A module that takes float32 (N, 3, H, W), sides multiples of 32, and gives a tuple of two raw maps.
    """
    return YoloV3Tiny(_checked(classes, anchors), anchors)


class YoloV3(nn.Module):
    """See `yolov3`. `features` is Darknet-53, `neck` the pyramid, `head` a 1×1 convolution for each map."""

    strides = (32, 16, 8)

    def __init__(self, classes: int, anchors: int) -> None:
        super().__init__()
        self.classes, self.anchors = classes, anchors
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=ConvolutionBlock(COLOUR_CHANNELS, 32, 3))
        for number, depth in enumerate(STAGE_DEPTHS):
            width = 64 << number
            blocks = [Residual(width) for _ in range(depth)]
            stages[f"stage{number + 1}"] = nn.Sequential(ConvolutionBlock(width // 2, width, 3, 2), *blocks)
        self.features = nn.Sequential(stages)
        self.neck = nn.ModuleList([PyramidLevel(1024, 512), PyramidLevel(768, 256), PyramidLevel(384, 128)])
        self.head = _head((1024, 512, 256), classes, anchors)
        initialise(self, self.head, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Raw maps, coarsest first, of normalised pictures (N, 3, H, W)."""
        levels: list[Tensor] = []
        for stage in self.features:
            image = stage(image)
            levels.append(image)
        maps: list[Tensor] = []
        coarser: Tensor | None = None
        for level, predict, features in zip(self.neck, self.head, reversed(levels[3:]), strict=True):
            coarser, wide = level(features, coarser)
            maps.append(predict(wide))
        return tuple(maps)

    def darknet_sections(self) -> list[Section]:
        """The sections of ``yolov3.cfg`` after ``net``, with the modules that take their weights."""
        sections: list[Section] = []
        ends: list[int] = []
        for stage in self.features:
            sections += sections_of(stage)
            ends.append(len(sections) - 1)
        for number, (level, predict) in enumerate(zip(self.neck, self.head, strict=True)):
            assert isinstance(level, PyramidLevel)
            if number:
                # The coarser level's narrow features: before them come wide ones, the prediction and `yolo`.
                sections += _joint(level.lateral, len(sections) - 4, ends[-1 - number], len(sections))
            sections += (*sections_of(level.narrow), *sections_of(level.wide), *sections_of(predict))
            sections.append(Section("yolo", {}))
        return sections


class YoloV3Tiny(nn.Module):
    """See `yolov3_tiny`. `features` is the backbone, `neck` joins the scales, `head` makes the maps."""

    strides = (32, 16)

    def __init__(self, classes: int, anchors: int) -> None:
        super().__init__()
        self.classes, self.anchors = classes, anchors
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=ConvolutionBlock(COLOUR_CHANNELS, 16, 3))
        for number in range(5):
            width = 32 << number
            stages[f"stage{number + 1}"] = nn.Sequential(
                nn.MaxPool2d(2, 2), ConvolutionBlock(width // 2, width, 3)
            )
        stages["stage6"] = nn.Sequential(SameSizePool(), ConvolutionBlock(512, 1024, 3))
        self.features = nn.Sequential(stages)
        self.neck = TinyNeck()
        self.head = _head((512, 256), classes, anchors)
        initialise(self, self.head, classes)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Raw maps, coarsest first, of normalised pictures (N, 3, H, W)."""
        middle = self.features[:FINE_STAGES](image)
        wide = self.neck(middle, self.features[FINE_STAGES:](middle))
        return tuple(predict(features) for predict, features in zip(self.head, wide, strict=True))

    def darknet_sections(self) -> list[Section]:
        """The sections of ``yolov3-tiny.cfg`` after ``net``, with the modules that take their weights."""
        sections = [*sections_of(self.features[:FINE_STAGES])]
        fine = len(sections) - 1
        sections += (*sections_of(self.features[FINE_STAGES:]), *sections_of(self.neck.narrow))
        narrow = len(sections) - 1
        sections += (*sections_of(self.neck.coarse), *sections_of(self.head[0]), Section("yolo", {}))
        sections += _joint(self.neck.lateral, narrow, fine, len(sections))
        sections += (*sections_of(self.neck.fine), *sections_of(self.head[1]), Section("yolo", {}))
        return sections


class PyramidLevel(nn.Module):
    """One scale of the pyramid: what comes from the coarser one is doubled in size and joined.

    Args:
        inputs: Channels of the backbone's features and what is joined to them.
        width: Channels of the narrow features; the wide ones have twice as many.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        joined = inputs > 2 * width
        self.lateral = ConvolutionBlock(2 * width, width, 1) if joined else None
        self.narrow = nn.Sequential(
            ConvolutionBlock(inputs, width, 1),
            ConvolutionBlock(width, 2 * width, 3),
            ConvolutionBlock(2 * width, width, 1),
            ConvolutionBlock(width, 2 * width, 3),
            ConvolutionBlock(2 * width, width, 1),
        )
        self.wide = ConvolutionBlock(width, 2 * width, 3)

    def forward(self, features: Tensor, coarser: Tensor | None) -> tuple[Tensor, Tensor]:
        """The narrow features, for the next scale, and the wide ones, for the prediction."""
        if self.lateral is not None and coarser is not None:
            features = torch.cat((_doubled(self.lateral(coarser)), features), dim=1)
        narrow = self.narrow(features)
        return narrow, self.wide(narrow)


class TinyNeck(nn.Module):
    """Both scales of YOLOv3-tiny up to their last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = ConvolutionBlock(1024, 256, 1)
        self.coarse = ConvolutionBlock(256, 512, 3)
        self.lateral = ConvolutionBlock(256, 128, 1)
        self.fine = ConvolutionBlock(384, 256, 3)

    def forward(self, middle: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the coarse and of the fine scale, from the backbone's at stride 16 and at stride 32."""
        narrow = self.narrow(deep)
        joined = torch.cat((_doubled(self.lateral(narrow)), middle), dim=1)
        return self.coarse(narrow), self.fine(joined)


FINE_STAGES = 5
"""Stages of the tiny backbone up to stride 16, where the fine scale takes its features."""


def _doubled(features: Tensor) -> Tensor:
    return nn.functional.interpolate(features, scale_factor=2.0, mode="nearest")


def _head(widths: tuple[int, ...], classes: int, anchors: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(width, anchors * (5 + classes), 1) for width in widths)


def _joint(lateral: nn.Module | None, narrow: int, features: int, at: int) -> list[Section]:
    """The sections from a coarser scale to a finer one, the first of which has the number `at`."""
    assert lateral is not None
    return [
        Section("route", {"layers": [narrow]}),
        *sections_of(lateral),
        Section("upsample", {"stride": 2}),
        Section("route", {"layers": [at + 2, features]}),
    ]


def _checked(classes: int, anchors: int) -> int:
    if classes < 1 or anchors < 1:
        raise ValueError(f"classes {classes}, anchors {anchors}")
    return classes
