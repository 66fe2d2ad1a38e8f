"""Plain arrays as input: for models whose input is no picture, text or series that Edgewright knows."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, Dim, InputError, SpecError, TensorInfo
from sdk.kinds import InputKind, Sample
from sdk.schemas import FILE, Schema, nested, record


@dataclass(frozen=True)
class ArraysInput(InputKind):
    """Arrays by name, handed to the graph as they are.

    Attributes:
        tensors: Name, dtype and shape of what one item holds; without the batch axis where `batched`.
        batched: Whether the first axis of every input of the graph counts items. Where it does not (state
            tensors, scalars), one item is one call, and its arrays have exactly the graph's shapes.
    """

    kind: ClassVar[str] = "arrays"
    bakeable: ClassVar[tuple[str, ...]] = ()

    tensors: tuple[TensorInfo, ...]
    batched: bool

    def __post_init__(self) -> None:
        names = [info.name for info in self.tensors]
        if not names or len(set(names)) != len(names):
            raise SpecError(
                "spec.input.tensors",
                got=f"{names}",
                expected="at least one, each name once",
                fix="Correct the spec.",
            )

    def batch_of(self, inputs: Sequence[TensorInfo]) -> Dim:
        """One item a call, unless the first axis counts items."""
        return super().batch_of(inputs) if self.batched else Dim(1, 1)

    def load(self, item: Any) -> Sample:
        """Take one item's arrays, and check names, dtypes and shapes.

        Args:
            item: A mapping of names to arrays; an ``.npz`` file (a path, or its bytes) with these names; or,
                for a model with one input, the array itself or an ``.npy`` file.

        Raises:
            InputError: A name, dtype or shape does not fit, or a file cannot be read.
        """
        arrays = self._named(item)
        names = [info.name for info in self.tensors]
        if set(arrays) != set(names):
            raise InputError(
                "Item", got=f"arrays {sorted(arrays)}", expected=f"exactly {names}", fix="One array per name."
            )
        for info in self.tensors:
            _require_fit(info, arrays[info.name])
        ordered = {name: arrays[name] for name in names}
        return Sample(ordered, ordered, {})

    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """The arrays of several items on a new first axis, or those of the only one.

        Raises:
            InputError: Items of different shapes cannot share a call.
        """
        if not self.batched:
            return dict(samples[0].arrays)
        stacked = {}
        for info in self.tensors:
            parts = [sample.arrays[info.name] for sample in samples]
            shapes = {part.shape for part in parts}
            if len(shapes) > 1:
                raise InputError(
                    f"Input '{info.name}'",
                    got=f"items of shapes {sorted(shapes)} in one call",
                    expected="one shape",
                    fix="Open the Predictor with batch_size=1, or pad them.",
                )
            stacked[info.name] = np.stack(parts)
        return stacked

    def from_json_item(self, value: Any) -> Any:
        """Nested lists by input name; those of the only input alone; or an ``.npz``, ``{"base64": "…"}``."""
        if isinstance(value, Mapping) and set(value) == {"base64"}:
            return super().from_json_item(value)
        given = self._named(value) if isinstance(value, Mapping) else {self._only_name("a list"): value}
        dtypes = {info.name: info.dtype for info in self.tensors}
        try:
            return {name: np.asarray(nested, dtypes[name]) for name, nested in given.items()}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                "Item",
                got="JSON that is no array of numbers by an input's name",
                expected=f"nested lists, of even lengths, for {dtypes}",
                fix='Send {"items": [{"name": [[…]]}]}.',
            ) from error

    def json_schema(self) -> Schema:
        """See `from_json_item`."""
        named = record({info.name: nested(info) for info in self.tensors})
        alone = [nested(self.tensors[0])] if len(self.tensors) == 1 else []
        return {"anyOf": [named, *alone, FILE]}

    def features(self, sample: Sample) -> dict[str, float]:
        """Mean, spread and range of each array."""
        from sdk.monitor.features import array_features  # not needed to predict

        return array_features(sample.arrays)

    def is_list(self, item: Any) -> bool:
        """Lists and tuples are several items."""
        return isinstance(item, (list, tuple))

    def encode(self, source: Any) -> bytes:
        """The arrays as the bytes of a compressed ``.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **source)
        return buffer.getvalue()

    def _named(self, item: Any) -> dict[str, Array]:
        if isinstance(item, Mapping):
            return {str(name): array for name, array in item.items()}
        if isinstance(item, (str, os.PathLike, bytes)):
            return self._read(item)
        return {self._only_name(type(item).__name__): item}

    def _read(self, item: Any) -> dict[str, Array]:
        name = "bytes" if isinstance(item, bytes) else repr(Path(item).name)
        try:
            opened = np.load(io.BytesIO(item) if isinstance(item, bytes) else item, allow_pickle=False)
            if isinstance(opened, np.ndarray):
                return {self._only_name("a single array"): opened}
            with opened:
                return {key: opened[key] for key in opened.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"Arrays {name}",
                got="no file of plain arrays" if not isinstance(error, FileNotFoundError) else "no such file",
                expected="an .npz written by np.savez, or an .npy for a model with one input",
                fix="Save the arrays again, without objects; the spec names them.",
            ) from error

    def _only_name(self, got: str) -> str:
        if len(self.tensors) == 1:
            return self.tensors[0].name
        raise InputError(
            "Item",
            got=got,
            expected=f"a mapping with {[info.name for info in self.tensors]}",
            fix="Pass one array per name, or an .npz file of them.",
        )


def _require_fit(info: TensorInfo, array: Any) -> None:
    given = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
    if not isinstance(array, np.ndarray) or array.dtype != info.dtype or not info.accepts(array.shape):
        convert = f"Use np.asarray(…, np.{info.dtype}) of that shape; an item has no batch axis."
        raise InputError(f"Input '{info.name}'", got=given, expected=str(info), fix=convert)
