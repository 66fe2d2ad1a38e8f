"""Detection, final boxes in one tensor: what graphs with suppression inside often give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.outputs.boxes import BOXES, CLASSES, SCORES, FinalBoxesOutput

_COLUMNS = 6


@dataclass(frozen=True)
class BoxRowsOutput(FinalBoxesOutput):
    """One tensor (N, D, 6 or more): x1 y1 x2 y2, score, class; further columns are not read.

    Rows that stand for nothing have score 0. Activated as `FinalBoxesOutput` is.

    Attributes:
        output: Name of the graph's output.
        extent_wh: What x and y are divided by to be shares of the network's input: its width and height where
            boxes are in pixels, (1, 1) where they are shares.
    """

    kind: ClassVar[str] = "box_rows"

    output: str
    extent_wh: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.extent_wh) <= 0:
            raise SpecError(
                "spec.output.extent_wh",
                got=repr(self.extent_wh),
                expected="two positive numbers",
                fix="Correct the spec.",
            )

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """The columns apart, boxes as shares.

        Raises:
            EngineError: The output has another shape.
        """
        rows = outputs[self.output]
        if rows.ndim != 3 or rows.shape[2] < _COLUMNS:
            raise EngineError(
                f"Output {self.output!r}",
                got=f"shape {rows.shape}",
                expected=f"(N, D, {_COLUMNS}): x1 y1 x2 y2, score, class",
                fix="Name another output, or another kind, in the spec.",
            )
        rows = rows.astype(np.float32, copy=False)
        return {
            BOXES: rows[..., :4] / np.array(self.extent_wh * 2, np.float32),
            SCORES: np.ascontiguousarray(rows[..., 4]),
            CLASSES: rows[..., 5].astype(np.int64),
        }
