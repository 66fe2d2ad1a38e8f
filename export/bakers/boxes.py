"""Bake the decoding of boxes: the formulas of `sdk.outputs.box_decoding` in the graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runtimes import SpecError, TensorInfo
from sdk.outputs.box_decoding import LARGEST_LOG_SCALE
from sdk.outputs.boxes import (
    BOXES,
    SCORES,
    CandidateBoxesOutput,
    CandidateOutput,
    YoloGridOutput,
    require_channels,
)
from sdk.spec import Spec


class GridMap(nn.Module):
    """One raw map to its boxes (N, M, 4) and scores (N, M, K); see `decode_grid`.

    Args:
        anchors_wh: Width and height of each anchor, in pixels of the network's input.
        stride: Pixels of the network's input per cell.
        rows: Cells from top to bottom.
        columns: Cells from left to right.
    """

    def __init__(
        self, anchors_wh: Sequence[tuple[float, float]], stride: int, rows: int, columns: int
    ) -> None:
        super().__init__()
        self.anchors = len(anchors_wh)
        extent = torch.tensor([columns, rows], dtype=torch.float32).reshape(1, 1, 2, 1)
        places = torch.arange(rows * columns)
        corner = torch.stack([places % columns, places // columns]).to(torch.float32)
        sizes = torch.tensor(anchors_wh, dtype=torch.float32).reshape(1, -1, 2, 1)
        self.register_buffer("corner", corner[None, None])
        self.register_buffer("extent", extent)
        self.register_buffer("half_wh", sizes / (2.0 * stride * extent))

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Decode one map."""
        count, channels, rows, columns = raw.shape
        cells = raw.reshape(count, self.anchors, channels // self.anchors, rows * columns)
        centre = (torch.sigmoid(cells[:, :, 0:2]) + self.corner) / self.extent
        half = torch.exp(torch.clamp(cells[:, :, 2:4], max=LARGEST_LOG_SCALE)) * self.half_wh
        boxes = torch.cat([centre - half, centre + half], dim=2)
        scores = torch.sigmoid(cells[:, :, 4:5]) * torch.sigmoid(cells[:, :, 5:])
        return _candidates_last(boxes), _candidates_last(scores)


class GridHead(nn.Module):
    """All raw maps to the boxes and scores of all candidates."""

    def __init__(self, maps: Sequence[GridMap]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)

    def forward(self, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Decode the maps of one batch, which come in the order of the spec's anchors."""
        parts = [decode(raw) for decode, raw in zip(self.maps, found, strict=True)]
        return torch.cat([part[0] for part in parts], dim=1), torch.cat([part[1] for part in parts], dim=1)


class CandidateHead(nn.Module):
    """One tensor of decoded candidates to boxes and scores; see `CandidateBoxesOutput`."""

    def __init__(self, output: CandidateBoxesOutput) -> None:
        super().__init__()
        self.output = output
        self.register_buffer("extent", torch.tensor(output.extent_wh * 2, dtype=torch.float32))

    def forward(self, found: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Take one batch of candidates apart."""
        values = found if isinstance(found, Tensor) else found[0]
        if self.output.layout == "values_first":
            values = values.permute(0, 2, 1)
        boxes, scores = values[..., :4], values[..., self.output.first_class :]
        if self.output.box_format == "cxcywh":
            centre, half = boxes[..., :2], boxes[..., 2:] / 2
            boxes = torch.cat([centre - half, centre + half], dim=-1)
        if self.output.objectness:
            scores = scores * values[..., 4:5]
        return boxes / self.extent, scores


def bake_grid(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """YOLO's decoding as a module, and the graph's outputs ``boxes`` and ``scores``.

    Raises:
        SpecError: A map's channels do not fit its anchors and classes.
    """
    output = spec.output
    assert isinstance(output, YoloGridOutput)
    maps, candidates = [], 0
    raws = spec.graph().outputs
    for raw, anchors, stride in zip(raws, output.anchors_wh, output.strides, strict=True):
        channels, rows, columns = (_fixed(raw, axis) for axis in (1, 2, 3))
        require_channels(raw.name, channels, len(anchors), len(output.labels))
        maps.append(GridMap(anchors, stride, rows, columns))
        candidates += len(anchors) * rows * columns
    return GridHead(maps), _infos(spec, output, candidates)


def bake_candidates(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The taking apart of candidates as a module, and the graph's outputs ``boxes`` and ``scores``."""
    output = spec.output
    assert isinstance(output, CandidateBoxesOutput)
    found = next(info for info in spec.graph().outputs if info.name == output.output)
    return CandidateHead(output), _infos(spec, output, _fixed(found, 2 if _first(output) else 1))


def bake_final(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """Nothing is left to do behind a network that suppresses its own boxes."""
    return nn.Identity(), spec.graph().outputs


def _first(output: CandidateBoxesOutput) -> bool:
    return output.layout == "values_first"


def _infos(spec: Spec, output: CandidateOutput, candidates: int) -> tuple[TensorInfo, ...]:
    batch = spec.graph().outputs[0].shape[0]
    return (
        TensorInfo(BOXES, "float32", (batch, candidates, 4)),
        TensorInfo(SCORES, "float32", (batch, candidates, len(output.labels))),
    )


def _fixed(info: TensorInfo, axis: int) -> int:
    extent = info.shape[axis]
    if isinstance(extent, int):
        return extent
    raise SpecError(
        f"Output {info.name!r}",
        got=f"a free extent on axis {axis}",
        expected="a fixed one: the places of cells are part of the graph",
        fix="Write the extent that the input's size gives into the spec.",
    )


def _candidates_last(cells: Tensor) -> Tensor:
    """(N, anchors, values, cells) to (N, anchors * cells, values)."""
    count, anchors, values, places = cells.shape
    return cells.permute(0, 1, 3, 2).reshape(count, anchors * places, values)
