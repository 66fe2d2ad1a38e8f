"""The proof that an artifact carries: golden samples and what was measured. Not needed to predict."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimes import Array

SHARE = "%"
"""Unit of metrics that are fractions of 1."""
WHOLE_VALUES = 4096
"""Arrays of up to so many values are stored whole."""
LARGEST_VALUES, SPREAD_VALUES = 1024, 1024
"""Of a larger one, so many of its largest values are stored, and so many evenly spread over it."""


@dataclass(frozen=True)
class StoredArray:
    """An array as JSON, or what is kept of a large one.

    Attributes:
        dtype: Numpy's name of it.
        shape: Of the whole array.
        base64: The values' little-endian bytes, in C order.
        positions: Base64 of where in the flattened array they stand, little-endian uint32, rising; None
            where all values are stored.
    """

    dtype: str
    shape: tuple[int, ...]
    base64: str
    positions: str | None

    @classmethod
    def of(cls, array: Array) -> StoredArray:
        """Store a copy of `array`, or of `LARGEST_VALUES` + `SPREAD_VALUES` of its values.

        Boxes of every candidate, or a probability of every pixel, would make proofs larger than models. The
        largest values are where the answer is; those spread evenly see to the rest.
        """
        values, positions = array, None
        if array.size > WHOLE_VALUES:
            chosen = _telling_positions(array.reshape(-1))
            values, positions = array.reshape(-1)[chosen], _encoded(chosen.astype(np.uint32))
        return cls(array.dtype.name, array.shape, _encoded(values), positions)

    def array(self) -> Array:
        """The stored values, writable: the whole array, or those that were kept of it (K,)."""
        values = _decoded(self.base64, self.dtype)
        return values.reshape(self.shape) if self.positions is None else values

    def of_same_place(self, array: Array) -> Array:
        """From another array of the stored one's shape, the values that `array` has of the stored one."""
        if self.positions is None:
            return array
        return np.ascontiguousarray(array).reshape(-1)[_decoded(self.positions, "uint32")]


def _telling_positions(flat: Array) -> Array:
    largest = np.argpartition(flat, flat.size - LARGEST_VALUES)[-LARGEST_VALUES:]
    spread = np.linspace(0, flat.size - 1, SPREAD_VALUES).astype(np.int64)
    return np.union1d(largest, spread)


def _encoded(array: Array) -> str:
    return b64encode(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).decode()


def _decoded(text: str, dtype: str) -> Array:
    return np.frombuffer(b64decode(text), np.dtype(dtype).newbyteorder("<")).astype(dtype)


@dataclass(frozen=True)
class GoldenSample:
    """A real input, and the outputs that the checkpoint gave for it.

    Attributes:
        item_base64: The encoded input, as `InputKind.load` takes bytes.
        outputs: Activated outputs of the checkpoint by name, without a batch axis.
    """

    item_base64: str
    outputs: dict[str, StoredArray]

    @classmethod
    def of(cls, item: bytes, outputs: dict[str, Array]) -> GoldenSample:
        """Store one sample."""
        stored = {name: StoredArray.of(array) for name, array in outputs.items()}
        return cls(b64encode(item).decode(), stored)

    def item(self) -> bytes:
        """The encoded input."""
        return b64decode(self.item_base64)


def in_words(value: float, unit: str) -> str:
    """A metric's value for people: shares in percent, all else with four digits and its unit."""
    return f"{value:.2%}" if unit == SHARE else f"{value:.4g} {unit}".rstrip()


@dataclass(frozen=True)
class Metric:
    """One measured figure of the task.

    Attributes:
        name: Such as ``accuracy``.
        value: In the metric's own unit; shares are fractions of 1.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        samples: On how many samples it was measured.
        split: Which data, such as ``test``.
        unit: `SHARE` for fractions of 1, which people read in percent; else the value's own, such as
            ``kWh``, or nothing.
        mode: ``max`` or ``min``: where it should go.
    """

    name: str
    value: float
    low: float
    high: float
    samples: int
    split: str
    unit: str = SHARE
    mode: str = "max"

    @property
    def text(self) -> str:
        """The value for people, such as ``92.37%`` or ``1.234 kWh``."""
        return self._said(self.value)

    @property
    def interval(self) -> str:
        """The 95 % interval for people, such as ``91.83% to 92.87%``."""
        return f"{self._said(self.low)} to {self._said(self.high)}"

    def loss_from(self, before: Metric) -> float:
        """How much worse this is than `before`; negative where it is better.

        Returns:
            Points (hundredths) for shares; for other units percent of the value before.
        """
        worse = before.value - self.value if self.mode == "max" else self.value - before.value
        if self.unit == SHARE:
            return 100 * worse
        return 100 * worse / max(abs(before.value), np.finfo(np.float64).tiny)

    @property
    def plotted(self) -> float:
        """The value in `unit`, for an axis."""
        return 100 * self.value if self.unit == SHARE else self.value

    @property
    def loss_unit(self) -> str:
        """What `loss_from` is counted in."""
        return "points" if self.unit == SHARE else "%"

    def _said(self, value: float) -> str:
        return in_words(value, self.unit)


@dataclass(frozen=True)
class Parity:
    """How far an artifact is from its checkpoint, on real samples through `Predictor`.

    Attributes:
        worst_difference: Largest absolute difference of any activated output.
        agreement: Fraction of samples with the same answer (for classes: the same top-1 label).
        samples: How many were compared.
    """

    worst_difference: float
    agreement: float
    samples: int


@dataclass(frozen=True)
class Evidence:
    """What was measured before the artifact got its name.

    Attributes:
        status: ``trained``, ``proved``, ``built, not run`` where its device was not there, or ``imported, not
            measured`` for weights that came from elsewhere.
        created_utc: ISO 8601, to the second.
        parent_sha256: Payload hash of the checkpoint it was made from; None for a checkpoint.
        precision: Requested precision, and how many layers or weights have which.
        tolerance: Largest absolute difference of an activated output that `verify` accepts.
        parity: Against the checkpoint; None for a checkpoint and for what was not run.
        metrics: Task figures; empty for what was not run.
        tools: Versions of the packages that made it.
        facts: Other things worth knowing, such as ExecuTorch's delegated fraction.
    """

    status: str
    created_utc: str
    parent_sha256: str | None
    precision: dict[str, Any]
    tolerance: float
    parity: Parity | None
    metrics: tuple[Metric, ...]
    tools: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)
