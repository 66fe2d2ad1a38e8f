"""Segmentation: from a map of scores per class to a class per pixel of the original picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.inputs.image import IMAGE
from sdk.kinds import OutputKind, Sample
from sdk.outputs.map_placing import Placing, placing_of, resized, shown
from sdk.results.segmentation import UNSEEN, Segmentation
from sdk.schemas import COUNT, NUMBER, PNG, SIZE_WH, Schema, listed, one_of, record

ACTIVATIONS = ("softmax", "none")
LOGITS = "logits"
"""Name of the graph output before the activation."""
PROBABILITIES = "probabilities"
"""Name of it afterwards."""
MOST_SHARES = 32
"""Classes whose share of a picture is watched; of more, the first."""


@dataclass(frozen=True)
class SegmentationOutput(OutputKind):
    """How maps of class scores are read.

    Attributes:
        labels: A name per class, in the order of the maps; at most 255.
        activation: ``softmax`` over the classes of each pixel, or ``none`` where the maps are final.
    """

    kind: ClassVar[str] = "segmentation"
    bakeable: ClassVar[tuple[str, ...]] = ("activation",)
    averages: ClassVar[bool] = False

    labels: tuple[str, ...]
    activation: str

    def __post_init__(self) -> None:
        different = len(set(self.labels)) == len(self.labels)
        _require("labels", self.labels, different and 2 <= len(self.labels) <= UNSEEN,
                 f"2 to {UNSEEN} different names")  # fmt: skip
        _require("activation", self.activation, self.activation in ACTIVATIONS, f"one of {ACTIVATIONS}")

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Maps as probabilities: float32 (N, classes, h, w)."""
        if "activation" in baked:
            return {PROBABILITIES: outputs[PROBABILITIES].astype(np.float32, copy=False)}
        maps = outputs[LOGITS].astype(np.float32, copy=False)
        if self.activation == "softmax":
            maps = np.exp(maps - maps.max(axis=1, keepdims=True))
            maps /= maps.sum(axis=1, keepdims=True)
        return {PROBABILITIES: maps}

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        share = record({"label": one_of(self.labels), "index": COUNT, "share": NUMBER})
        labels = listed(one_of(self.labels))
        return record({"size_wh": SIZE_WH, "labels": labels, "shares": listed(share), "mask_png": PNG})

    def features(self, result: Any) -> dict[str, float | str]:
        """The ``label`` that covers most, how many ``classes`` there are, and each class's ``share``."""
        shares = {entry.label: entry.share for entry in result.shares}
        each = {f"share.{label}": shares.get(label, 0.0) for label in self.labels[:MOST_SHARES]}
        first = result.shares[0].label if result.shares else ""
        return {"label": first, "classes": float(len(shares)), **each}

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Segmentation` per sample, its mask at the size of the original picture.

        Raises:
            EngineError: A value is NaN: the model, or its precision, is broken.
        """
        maps = outputs[PROBABILITIES]
        smallest = maps.min()
        if smallest != smallest:  # noqa: PLR0124 - NaN, which min() carries through
            raise EngineError(
                f"Output {PROBABILITIES!r}",
                got="NaN",
                expected="finite values",
                fix="Export in fp32, or train again: the network overflows.",
            )
        return [
            Segmentation.of(mask_of(one, sample), self.labels, sample.source)
            for one, sample in zip(maps, samples, strict=True)
        ]


def mask_of(maps: Array, sample: Sample) -> Array:
    """The best class of every pixel of the original picture.

    Padding is cut away, the maps are resized bilinearly, and the largest wins; the lower index on a tie.
    Only classes that win somewhere in the map itself are resized: a picture shows few of many.

    Args:
        maps: float32 (classes, h, w), of any size with the aspect of the network's input.
        sample: Where they belong.

    Returns:
        uint8 (H, W) of the original; `UNSEEN` where the picture was cut before the network saw it.
    """
    height, width, _ = sample.arrays[IMAGE].shape
    placing = placing_of(sample.geometry, (width, height), (maps.shape[2], maps.shape[1]))
    size_wh = (int(sample.geometry["width"]), int(sample.geometry["height"]))
    left, top, right, bottom = placing.seen
    mask = np.full((size_wh[1], size_wh[0]), UNSEEN, np.uint8)
    mask[top:bottom, left:right] = _winners(maps, placing)
    return mask


def _winners(maps: Array, placing: Placing) -> Array:
    left, top, right, bottom = placing.seen
    candidates = np.unique(shown(maps, placing).argmax(axis=0))
    ids = np.full((bottom - top, right - left), candidates[0], np.uint8)
    if len(candidates) == 1:
        return ids
    best = resized(maps[candidates[0]], placing)
    for index in candidates[1:]:
        values = resized(maps[index], placing)
        np.copyto(ids, np.uint8(index), where=values > best)
        np.maximum(best, values, out=best)
    return ids


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
