"""Task ``own``: models that were not trained here. They are measured on what their owner brings."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import DataError, EdgewrightError, UsageError
from sdk.artifact import Metric
from sdk.input_files import files_in, item_of
from sdk.results.arrays import Arrays
from sdk.spec import Spec
from train.metrics import wilson_interval
from train.tasks.base import Report, Split, Task

if TYPE_CHECKING:
    from train.options import TrainOptions
    from train.plan import Plan

Correct = Callable[[Any, Any], bool]
"""Whether a result is right, given what is true of its item."""

ARRAY_TOLERANCE = 0.02
"""Two arrays are the same answer when no value differs by more than this share of the largest."""
_SPLITS = ("train", "val", "test")
_LIKE = {"Classification": "product", "Detections": "detection", "Segmentation": "segmentation",
         "Embedding": "embedding", "GeneratedText": "seq2seq"}  # fmt: skip
"""Tasks that know when two results of a kind are the same answer."""


def _same_label(result: Any, truth: Any) -> bool:
    return truth in (result.label, result.index)


class OwnTask(Task):
    """Items from a folder, or from memory.

    Args:
        items: To prove on, as `Predictor.predict` takes them; None reads them from a folder.
        truths: What is true of each; without them artifacts are only compared with their checkpoint.
        correct: Judges a result by its truth; None compares the label or class index.
        calibration: Other items, for ranges of INT8 and FP16.
    """

    name: ClassVar[str] = "own"
    summary: ClassVar[str] = "a model that was not trained here"
    data_help: ClassVar[str] = "folder of items, or {train,test}/ with items"
    metric: ClassVar[str] = "accuracy"
    mode: ClassVar[str] = "max"
    models: ClassVar[tuple[str, ...]] = ()
    options_type: ClassVar[type[Any]] = dict

    def __init__(
        self,
        items: Sequence[Any] | None = None,
        *,
        truths: Sequence[Any] = (),
        correct: Correct | None = None,
        calibration: Sequence[Any] = (),
    ) -> None:
        if items is not None and len(truths) not in (0, len(items)):
            raise UsageError(
                "Argument 'truths'",
                got=f"{len(truths)} for {len(items)} items",
                expected="one per item, or none",
                fix="Pass them in the order of the items.",
            )
        self._items = items
        self._truths = truths
        self._correct = correct or _same_label
        self._calibration = calibration

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """It has none: nothing is trained."""

    def defaults(self, given: Mapping[str, Any], task_options: Any) -> dict[str, Any]:  # noqa: ARG002
        """It has none: nothing is trained."""
        raise _not_trained()

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """The items at hand: ``test`` to prove on, ``train`` and ``val`` to calibrate with."""
        items: Sequence[Any]
        if self._items is not None:
            items, truths = (self._items, self._truths) if split == "test" else (self._calibration, ())
            source = "Argument 'calibration'"
        else:
            items, truths, source = _read(Path(data), split), (), f"Data {Path(data).name!r}"
        if not items:
            raise DataError(
                source,
                got=f"nothing for the split {split!r}",
                expected="real inputs of the model",
                fix="Pass some, such as a few hundred of those it was trained on.",
            )
        if spec is not None:
            items = [_plain(item, spec) for item in items]
        return Split(split, items, truths, (), _digest(items))

    def proof_split(self, data: Path) -> str:  # noqa: ARG002
        """``test``: all items, or those in a folder of that name."""
        return "test"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """The share of right results, where it is known what is right."""
        if not len(split.targets):
            return ()
        pairs = zip(results, split.targets, strict=True)
        right, count = sum(bool(self._correct(result, truth)) for result, truth in pairs), len(results)
        low, high = wilson_interval(right, count)
        return (Metric(self.metric, right / count, low, high, count, split.name),)

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """As the task with this kind of result has it; for arrays, the share of items with the same ones."""
        kind = type(results[0]).__name__
        if kind in _LIKE:
            from train.tasks import get_task

            return get_task(_LIKE[kind]).agreement(results, others)
        return float(np.mean([_same(one, other) for one, other in zip(results, others, strict=True)]))

    def report(self, results: Sequence[Any], split: Split) -> Report:  # noqa: ARG002
        """Nothing beyond the metrics."""
        return Report({})

    def plan(self, options: TrainOptions) -> Plan:  # noqa: ARG002
        """It cannot be trained here."""
        raise _not_trained()


def _same(one: Arrays, other: Arrays) -> bool:
    for name, array in one.values.items():
        expected = other.values[name]
        if array.shape != expected.shape:
            return False
        if expected.dtype.kind != "f":
            if not np.array_equal(array, expected):
                return False
        elif array.size:
            largest = float(np.abs(expected).max())
            if not float(np.abs(array.astype(np.float64) - expected).max()) <= ARRAY_TOLERANCE * largest:
                return False
    return True


def _read(data: Path, split: str) -> list[Any]:
    """Files of one split: of its folder where there are such, else all of them to prove on."""
    if not data.is_dir():
        raise DataError(f"Data {data.name!r}", got="no such folder", expected="a folder of items",
                        fix="Check the path.")  # fmt: skip
    parted = any((data / name).is_dir() for name in _SPLITS)
    if not parted and split != "test":
        return []
    folder = data / split if parted else data
    return [item_of(path) for path in files_in([folder])] if folder.is_dir() else []


def _plain(item: Any, spec: Spec) -> Any:
    """An item that can be hashed: mappings of arrays as the bytes of a file."""
    return spec.input.encode(spec.input.load(item).source) if isinstance(item, Mapping) else item


def _digest(items: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for item in items:
        if isinstance(item, (str, Path)):
            try:
                digest.update(Path(item).read_bytes())
            except OSError as error:
                raise DataError(
                    f"Item {Path(item).name!r}", got=error.strerror or str(error),
                    expected="a readable file", fix="Check the path.",
                ) from error  # fmt: skip
        else:
            digest.update(item if isinstance(item, bytes) else np.ascontiguousarray(item).tobytes())
    return digest.hexdigest()


def _not_trained() -> EdgewrightError:
    return UsageError(
        "Task 'own'",
        got="a call to train it",
        expected="a model that was trained elsewhere",
        fix="Export it with export.own.export_module, or choose a task of `edgewright train --help`.",
    )
