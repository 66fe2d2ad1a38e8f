"""What an artifact takes in and gives out: the two interfaces that a new task implements.

An `InputKind` turns a user's item (a path, bytes, an image, a text, a series) into arrays; an
`OutputKind` turns the graph's arrays into typed results. Both are frozen dataclasses that are stored
in the spec under their ``kind`` name. A new modality or task is a new file in `sdk/inputs` or
`sdk/outputs` and a line in the table below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from runtimes import Array, Dim, SpecError, TensorInfo
from sdk.codec import fields_to_json, from_json

INPUT_KINDS: dict[str, str] = {
    "arrays": "sdk.inputs.arrays:ArraysInput",
    "image": "sdk.inputs.image:ImageInput",
    "dicom": "sdk.inputs.dicom:DicomInput",
}
OUTPUT_KINDS: dict[str, str] = {
    "arrays": "sdk.outputs.arrays:ArraysOutput",
    "box_rows": "sdk.outputs.box_rows:BoxRowsOutput",
    "candidate_boxes": "sdk.outputs.boxes:CandidateBoxesOutput",
    "classification": "sdk.outputs.classification:ClassificationOutput",
    "segmentation": "sdk.outputs.segmentation:SegmentationOutput",
    "embedding": "sdk.outputs.embedding:EmbeddingOutput",
    "final_boxes": "sdk.outputs.boxes:FinalBoxesOutput",
    "yolo_grid": "sdk.outputs.boxes:YoloGridOutput",
}

K = TypeVar("K", bound="Kind")


class Sample(NamedTuple):
    """One item on its way through a graph.

    Attributes:
        arrays: Host-prepared arrays by graph input name, without a batch axis.
        source: The decoded original (a PIL image, a text, a series), kept for plots and for mapping
            answers back; never copied.
        geometry: Numbers that the output needs to map answers back, such as scale and offset.
    """

    arrays: Mapping[str, Array]
    source: Any
    geometry: Mapping[str, float]


class Kind(ABC):
    """A piece of a spec that knows how to run itself. Every concrete kind is a frozen dataclass.

    Class attributes:
        kind: The name in JSON.
        bakeable: The steps that export may move into the graph, in the order in which they run.
    """

    kind: ClassVar[str]
    bakeable: ClassVar[tuple[str, ...]]
    table: ClassVar[Mapping[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Every field, with ``kind`` first."""
        return {"kind": self.kind, **fields_to_json(self)}

    @classmethod
    def from_json(cls: type[K], data: Any, where: str) -> K:
        """Find the class named by ``kind`` and build it, strictly."""
        name = data.get("kind") if isinstance(data, Mapping) else None
        if not isinstance(name, str) or name not in cls.table:
            raise SpecError(
                where,
                got=f"kind {name!r}",
                expected=f"one of {sorted(cls.table)}",
                fix="Use the Edgewright version that wrote it.",
            )
        module, _, attribute = cls.table[name].partition(":")
        kind: type[K] = getattr(import_module(module), attribute)
        return from_json(kind, {key: v for key, v in data.items() if key != "kind"}, where)


class InputKind(Kind):
    """How items become arrays."""

    table: ClassVar[Mapping[str, str]] = INPUT_KINDS

    @abstractmethod
    def load(self, item: Any) -> Sample:
        """Decode one item and apply the steps that always run on the host.

        Raises:
            InputError: The item cannot be used.
        """

    @abstractmethod
    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:
        """Stack samples on a new first axis and apply the bakeable steps that are not in `baked`."""

    def rows_per_item(self, baked: Collection[str]) -> int:  # noqa: ARG002 - for kinds that have views
        """How many rows of a batch stand for one item: more than one where the graph is shown several
        views of it and does not average them itself.
        """
        return 1

    def batch_of(self, inputs: Sequence[TensorInfo]) -> Dim:
        """How many items one call of a graph with these inputs takes: by the first axis of the first."""
        extent = inputs[0].shape[0]
        return extent if isinstance(extent, Dim) else Dim(extent, extent)

    @abstractmethod
    def is_list(self, item: Any) -> bool:
        """Whether `item` is several items rather than one."""

    @abstractmethod
    def encode(self, source: Any) -> bytes:
        """`source` of a `Sample` as lossless bytes that `load` accepts; for golden samples."""


class OutputKind(Kind):
    """How arrays become results.

    Class attributes:
        averages: Whether the answers to several views of a picture may be averaged: they may not where they
            say where in it something is, because that changes with the view.
    """

    table: ClassVar[Mapping[str, str]] = OUTPUT_KINDS
    averages: ClassVar[bool] = True

    @abstractmethod
    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Apply the bakeable steps that are not in `baked`; what golden samples are compared on."""

    def measuring(self) -> OutputKind:
        """What metrics are measured through: this kind, unless results leave out what a metric needs."""
        return self

    def seen_as(self, kind: OutputKind, outputs: dict[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Activated outputs as `kind` has them, which may leave less to be done to the host than this one."""
        return outputs

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """How far activated outputs are from those expected: the largest absolute difference.

        Args:
            outputs: By name; there may be more than are expected.
            expected: By name, of the same shapes.

        Returns:
            Infinity where a number is missing (NaN) on either side.
        """
        worst = 0.0
        for name, array in expected.items():
            # NaN must not compare as small: nan > x is False.
            apart = np.abs(outputs[name].astype(np.float64) - array)
            worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
        return worst

    @abstractmethod
    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One result per sample from activated outputs."""
