"""The proof that an artifact carries: golden samples and what was measured. Not needed to predict."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimes import Array


@dataclass(frozen=True)
class StoredArray:
    """An array as JSON: numpy dtype name, shape, and base64 of its little-endian C-order bytes."""

    dtype: str
    shape: tuple[int, ...]
    base64: str

    @classmethod
    def of(cls, array: Array) -> StoredArray:
        """Store a copy of `array`."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        return cls(array.dtype.name, array.shape, b64encode(little.tobytes()).decode())

    def array(self) -> Array:
        """The array again, writable."""
        raw = b64decode(self.base64)
        dtype = np.dtype(self.dtype).newbyteorder("<")
        return np.frombuffer(raw, dtype).reshape(self.shape).astype(self.dtype)


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


@dataclass(frozen=True)
class Metric:
    """One measured figure of the task.

    Attributes:
        name: Such as ``accuracy``.
        value: In the metric's own unit; rates are fractions of 1.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        samples: On how many samples it was measured.
        split: Which data, such as ``test``.
    """

    name: str
    value: float
    low: float
    high: float
    samples: int
    split: str


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
        status: ``trained``, ``proved``, or ``built, not run`` where its device was not there.
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
