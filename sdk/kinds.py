"""What an artifact takes in and gives out: the two interfaces that a new task implements.

An `InputKind` turns a user's item (a path, bytes, an image, a text, a series) into arrays; an
`OutputKind` turns the graph's arrays into typed results. Both are frozen dataclasses that are stored
in the spec under their ``kind`` name. A new modality or task is a new file in `sdk/inputs` or
`sdk/outputs` and a line in the table below.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from runtimes import MAIN_GRAPH, Array, Dim, SpecError, TensorInfo, UsageError
from sdk.codec import fields_to_json, from_json
from sdk.schemas import FILE, Schema

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.spec import Graph

INPUT_KINDS: dict[str, str] = {
    "arrays": "sdk.inputs.arrays:ArraysInput",
    "free_image": "sdk.inputs.free_image:FreeImageInput",
    "image": "sdk.inputs.image:ImageInput",
    "noise": "sdk.inputs.noise:NoiseInput",
    "dicom": "sdk.inputs.dicom:DicomInput",
    "prompt": "sdk.inputs.prompt:PromptInput",
    "series": "sdk.inputs.series:SeriesInput",
    "text": "sdk.inputs.text:TextInput",
}
OUTPUT_KINDS: dict[str, str] = {
    "arrays": "sdk.outputs.arrays:ArraysOutput",
    "box_rows": "sdk.outputs.box_rows:BoxRowsOutput",
    "candidate_boxes": "sdk.outputs.boxes:CandidateBoxesOutput",
    "classification": "sdk.outputs.classification:ClassificationOutput",
    "decoded_text": "sdk.outputs.decoded_text:DecodedTextOutput",
    "picture": "sdk.outputs.picture:PictureOutput",
    "segmentation": "sdk.outputs.segmentation:SegmentationOutput",
    "embedding": "sdk.outputs.embedding:EmbeddingOutput",
    "forecast": "sdk.outputs.forecast:ForecastOutput",
    "final_boxes": "sdk.outputs.boxes:FinalBoxesOutput",
    "generated_text": "sdk.outputs.generated_text:GeneratedTextOutput",
    "yolo_grid": "sdk.outputs.boxes:YoloGridOutput",
}

K = TypeVar("K", bound="Kind")
Call = Callable[[str, Mapping[str, Array]], dict[str, Array]]
"""Runs one graph of an artifact: from its name and its inputs to its outputs, both by name."""


_READABLE = 1000
"""Characters that a person would still read of one field."""


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

    def described(self) -> dict[str, Any]:
        """`to_json` for people: what is too long to be read is told by its length."""
        return {
            name: f"{len(value):,} characters" if isinstance(value, str) and len(value) > _READABLE else value
            for name, value in self.to_json().items()
        }

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
    """How items become arrays.

    Class attributes:
        any_size: Whether nothing in the graph that is fed depends on how large an item is, so that it can be
            traced at one size and opened for all others.
        media_types: Of a request's body that holds one item, as `load` takes its bytes.
    """

    table: ClassVar[Mapping[str, str]] = INPUT_KINDS
    any_size: ClassVar[bool] = False
    media_types: ClassVar[tuple[str, ...]] = ("application/octet-stream",)

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

    def variants(self, graph: Graph) -> tuple[Graph, ...]:  # noqa: ARG002
        """`graph` at each of the fixed shapes that this kind can feed it at, for engines that cannot leave an
        axis open; none where every engine can.
        """
        return ()

    def for_variants(self) -> InputKind:
        """The kind that feeds a graph of which there are `variants` alone."""
        return self

    def named(self, words: Sequence[str], *, lines: bool = False) -> list[tuple[str, Any]]:
        """What words on a command line mean; by default files, and the files in folders.

        Args:
            words: As they were given.
            lines: Every line of a file is an item of its own, for kinds whose items can be lines.

        Returns:
            What each item is called, and the item.

        Raises:
            InputError: A path is not there, or cannot be read.
            UsageError: `lines` for another kind.
        """
        from sdk.input_files import files_in, item_of

        if lines:
            raise UsageError(
                "Option --lines",
                got=f"it for inputs of kind {self.kind!r}",
                expected="an artifact that takes texts",
                fix="Leave it out.",
            )
        return [(str(path), item_of(path)) for path in files_in(words)]

    def contents(self, item: Any) -> bytes:
        """The bytes of an item, to tell whether two are the same: of the file that it names, or its own."""
        if isinstance(item, (str, os.PathLike)):
            return Path(item).read_bytes()
        if isinstance(item, bytes):
            return item
        array = np.ascontiguousarray(item)
        return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()

    def from_json_item(self, value: Any) -> Any:
        """What `load` takes for one item of a JSON request; by default ``{"base64": "…"}``, a file's bytes.

        Strings of strangers must never be taken for paths of this machine: kinds whose items are texts or
        numbers override this, all others take bytes alone.

        Raises:
            InputError: It is of another form.
        """
        from sdk.input_files import bytes_of_base64

        return bytes_of_base64(value)

    def json_schema(self) -> Schema:
        """JSON Schema of what `from_json_item` takes."""
        return FILE

    def together(self, sample: Sample) -> Hashable:
        """What samples must have in common to be put into one batch: by default, their arrays' shapes."""
        return tuple(array.shape for array in sample.arrays.values())

    def features(self, sample: Sample) -> dict[str, float]:  # noqa: ARG002
        """What is watched of an item while a model serves, to tell whether inputs drift: finite numbers.

        By default nothing. The same names for every item; see docs/monitoring.md.
        """
        return {}

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
        writes: Whether results are texts that were written token by token, and tell how many ``tokens``.
    """

    table: ClassVar[Mapping[str, str]] = OUTPUT_KINDS
    averages: ClassVar[bool] = True
    writes: ClassVar[bool] = False

    def run(self, call: Call, arrays: dict[str, Array]) -> dict[str, Array]:
        """What one prediction does with the artifact's graphs; by default one call of the first.

        Decoders that call a graph again for every token override this: the loop is written once, in numpy,
        for every runtime and for validation during training.

        Args:
            call: Runs a graph: from its name and its inputs by name to its outputs by name.
            arrays: What the first graph takes, one row per item.

        Returns:
            What `activate` takes, one row per item.
        """
        return call(MAIN_GRAPH, arrays)

    def variants(self, graph: Graph, fed: InputKind) -> tuple[Graph, ...]:  # noqa: ARG002
        """As `InputKind.variants`, for the graphs that `run` calls behind the first."""
        return ()

    def generate(self, predictor: Predictor, what: Any, **options: Any) -> Any:
        """What `Predictor.generate` does, for kinds that can.

        Raises:
            UsageError: This is none of them.
        """
        del predictor, options
        raise UsageError(
            "Predictor.generate",
            got=f"{what!r} for outputs of kind {self.kind!r}",
            expected="an artifact that generates text or pictures",
            fix="Use predict().",
        )

    def follow(self, predictor: Predictor, history: Any) -> Any:
        """What `Predictor.follow` does, for kinds that can.

        Raises:
            UsageError: This is none of them.
        """
        del predictor, history
        raise UsageError(
            "Predictor.follow",
            got=f"it for outputs of kind {self.kind!r}",
            expected="an artifact that forecasts a series",
            fix="Use predict().",
        )

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

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`; by default, of any object."""
        return {"type": "object"}

    def features(self, result: Any) -> dict[str, float | str]:  # noqa: ARG002
        """What is watched of a result, as `InputKind.features`: finite numbers, and words such as a label.

        By default nothing; nothing that a stranger wrote.
        """
        return {}

    @abstractmethod
    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One result per sample from activated outputs."""
