"""The manifest: what an artifact says of itself. Spec, golden samples, evidence, payload hash."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimes import Array, ArtifactError, SpecError
from sdk.codec import from_json, to_json
from sdk.spec import Spec

MANIFEST_VERSION = 1

TRAINED = "trained"
PROVED = "proved"
NOT_RUN = "built, not run"


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
        return cls(array.dtype.name, array.shape, base64.b64encode(little.tobytes()).decode())

    def array(self) -> Array:
        """The array again, writable."""
        raw = base64.b64decode(self.base64)
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
        return cls(base64.b64encode(item).decode(), stored)

    def item(self) -> bytes:
        """The encoded input."""
        return base64.b64decode(self.item_base64)


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


@dataclass(frozen=True)
class Manifest:
    """Everything an artifact says of itself."""

    version: int
    spec: Spec
    samples: tuple[GoldenSample, ...]
    evidence: Evidence
    payload_sha256: str

    def to_bytes(self) -> bytes:
        """Compact JSON, ASCII only, so that it can live inside any of the formats."""
        return json.dumps(to_json(self), separators=(",", ":"), ensure_ascii=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read what `to_bytes` wrote.

        Raises:
            ArtifactError: Not JSON.
            SpecError: Another version, or a field that does not fit.
        """
        try:
            tree = json.loads(data)
        except ValueError as error:
            raise ArtifactError(
                where, got="a manifest that is not JSON", expected="JSON", fix="Export the checkpoint again."
            ) from error
        version = tree.get("version") if isinstance(tree, dict) else None
        if version != MANIFEST_VERSION:
            raise SpecError(
                f"{where}: manifest.version",
                got=repr(version),
                expected=str(MANIFEST_VERSION),
                fix="Use the Edgewright version that wrote it, or export again.",
            )
        return from_json(cls, tree, "manifest")
