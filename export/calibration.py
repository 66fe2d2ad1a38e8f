"""Calibration data: real inputs that decide ranges, never from the split that accuracy is reported on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, DataError, Dim, UsageError
from sdk.kinds import InputKind
from sdk.spec import Spec
from train.tasks.base import Split, Task

if TYPE_CHECKING:
    from torch import nn

DEFAULT_SAMPLES = 512
FEWEST_SAMPLES = 16
"""With fewer, one odd picture decides a range. Sets for detection are often no larger than a few times this:
their pictures hold many objects each."""
BATCH = 32
MOST_CALLS = 64
"""Kept of a graph that is called again for every token."""
_STATE_STEPS = 4
"""Calls in a row of a graph that carries a state, so that ranges are not those of its beginning alone."""


@dataclass(frozen=True)
class CalibrationSet:
    """Real inputs for measuring ranges.

    Attributes:
        split: Name of the split they were drawn from.
        items: As `Predictor.predict` takes them.
        sha256: Of the items' contents in their order.
    """

    split: str
    items: Sequence[Any]
    sha256: str

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, spec: Spec, size: int = BATCH) -> Iterator[dict[str, Array]]:
        """Inputs of the main graph by name, preprocessed by the spec and by nothing else.

        Args:
            spec: Of the graph that is fed: what it has baked is not done again.
            size: Items per batch; a short last batch is given as it is.

        Raises:
            DataError: An input holds NaN or infinity.
            InputError: An item cannot be loaded.
        """
        for start in range(0, len(self.items), size):
            samples = [spec.input.load(item) for item in self.items[start : start + size]]
            arrays = spec.input.batch(samples, spec.baked)
            for name, array in arrays.items():
                _require_finite(name, array, start)
            yield arrays


@dataclass(frozen=True)
class RecordedSet(CalibrationSet):
    """What a graph behind the first is fed while the items of a calibration set are predicted.

    Attributes:
        recorded: Its inputs by name, a call each.
    """

    recorded: Sequence[dict[str, Array]] = ()

    def batches(self, spec: Spec, size: int = BATCH) -> Iterator[dict[str, Array]]:  # noqa: ARG002
        """The recorded calls, as they were."""
        yield from self.recorded


def record_calls(calibration: CalibrationSet, network: nn.Module, spec: Spec, graph: str) -> RecordedSet:
    """Predict a calibration set with a checkpoint's network, and keep some of the calls of one of its graphs.

    Args:
        calibration: What is predicted.
        network: In eval mode.
        spec: Its spec, with all of its graphs.
        graph: Which of them.
    """
    import torch

    from train.batches import graph_caller

    call, kept, count = graph_caller(network, spec), [], 0
    draw = np.random.default_rng(0)

    def recording(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        nonlocal count
        if name == graph:
            # Every call has the same chance of being kept (Vitter, "Random Sampling with a Reservoir").
            at = count if count < MOST_CALLS else int(draw.integers(count + 1))
            if at < MOST_CALLS:
                kept[at : at + 1] = [{k: array.copy() for k, array in arrays.items()}]
            count += 1
        return call(name, arrays)

    with torch.inference_mode():
        for arrays in calibration.batches(spec):
            spec.output.run(recording, arrays)
        if not kept:
            for arrays in calibration.batches(spec):
                _carry_state(recording, arrays, spec, graph)
    return RecordedSet(calibration.split, calibration.items, calibration.sha256, kept)


def _carry_state(
    call: Callable[[str, Mapping[str, Array]], dict[str, Array]],
    arrays: Mapping[str, Array],
    spec: Spec,
    graph: str,
) -> None:
    """Call a graph that no single prediction calls, such as one that carries a state from row to row.

    It is fed what the first graph is fed. Its other inputs begin at zero, and are then what it gave under
    their names with ``next_`` before them.
    """
    rows = len(next(iter(arrays.values())))
    fed = dict(arrays)
    for info in spec.graph(graph).inputs:
        if info.name not in fed:
            shape = [extent.min if isinstance(extent, Dim) else extent for extent in info.shape[1:]]
            fed[info.name] = np.zeros((rows, *shape), info.dtype)
    for _ in range(_STATE_STEPS):
        given = call(graph, fed)
        fed |= {name: given[f"next_{name}"] for name in fed if f"next_{name}" in given}


@dataclass(frozen=True)
class CalibrationChoice:
    """Where calibration samples come from.

    Attributes:
        data: A folder of the task's data; None is what the artifacts are proved on.
        split: Which part of it.
        samples: How many; None is `DEFAULT_SAMPLES`, or all where there are fewer.
    """

    data: Path | None = None
    split: str = "train"
    samples: int | None = None


def choose_calibration(
    task: Task,
    data: Path,
    spec: Spec,
    proof: Split,
    *,
    split: str = "train",
    count: int | None = None,
    seed: int = 0,
) -> CalibrationSet:
    """Draw a calibration set: always the same items for the same data, split, count and seed.

    Args:
        task: Whose data it is.
        data: Where it lies.
        spec: Of the checkpoint; its classes must be those of the data.
        proof: The split that accuracy is reported on.
        split: Where to draw from.
        count: How many; None is `DEFAULT_SAMPLES`, or all where there are fewer.
        seed: Of the draw.

    Raises:
        UsageError: `split` is what accuracy is reported on, or `count` is too small.
        DataError: Too few samples, another class list, or a sample that is in the proof split as well.
    """
    if split == proof.name:
        raise UsageError(
            "Option --calibration-split",
            got=f"{split!r}, which accuracy is reported on",
            expected="another split, such as 'train'",
            fix="An artifact may not be tuned on what judges it.",
        )
    if count is not None and count < FEWEST_SAMPLES:
        raise UsageError(
            "Option --calibration-samples",
            got=str(count),
            expected=f"at least {FEWEST_SAMPLES}",
            fix="Raise it, or leave it out.",
        )
    source = task.load_split(data, split, spec)
    wanted = count if count is not None else min(DEFAULT_SAMPLES, len(source))
    if len(source) < max(wanted, FEWEST_SAMPLES):
        raise DataError(
            f"Calibration data {data.name!r}, split {split!r}",
            got=f"{len(source)} samples",
            expected=f"at least {max(wanted, FEWEST_SAMPLES)}",
            fix="Add samples, or lower --calibration-samples.",
        )
    rows = np.sort(np.random.default_rng(seed).choice(len(source), wanted, replace=False))
    items = [source.items[int(row)] for row in rows]
    where = f"{data.name!r}, split {split!r}"
    return CalibrationSet(split, items, _require_unseen(spec.input, items, proof, where))


def _require_unseen(kind: InputKind, items: Sequence[Any], proof: Split, where: str) -> str:
    """Hash of all items, none of which may be in the proof split, under whatever name."""
    digests = [hashlib.sha256(kind.contents(item)).hexdigest() for item in items]
    judged = {hashlib.sha256(kind.contents(item)).hexdigest() for item in proof.items}
    shared = [row for row, digest in enumerate(digests) if digest in judged]
    if shared:
        raise DataError(
            f"Calibration data {where}",
            got=f"{len(shared)} of {len(items)} samples that are in the split {proof.name!r} too, "
            f"the first {_name(items[shared[0]], shared[0])}",
            expected=f"none: accuracy is reported on {proof.name!r}",
            fix="Remove the duplicates from one of the two.",
        )
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _name(item: Any, row: int) -> str:
    return repr(item.name) if isinstance(item, Path) else f"number {row}"


def _require_finite(name: str, array: Array, start: int) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        return
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(bad):
        raise DataError(
            f"Calibration sample {start + int(bad[0])}",
            got=f"NaN or infinity in input {name!r}",
            expected="finite numbers",
            fix="Remove or mend the sample.",
        )
