"""Plain arrays as output: for graphs whose answer is no kind of result that Edgewright knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.results.arrays import Arrays
from sdk.schemas import COUNT, TEXT, Schema, listed, record


@dataclass(frozen=True)
class ArraysOutput(OutputKind):
    """Arrays by name, handed back as they are.

    Attributes:
        names: The outputs that a result holds.
        batched: Whether the first axis of every output counts items; see `ArraysInput`.
    """

    kind: ClassVar[str] = "arrays"
    bakeable: ClassVar[tuple[str, ...]] = ()

    names: tuple[str, ...]
    batched: bool

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise SpecError(
                "spec.output.names",
                got=f"{list(self.names)}",
                expected="at least one, each once",
                fix="Correct the spec.",
            )

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """The arrays (N, …); where no axis counts items, one is put in front."""
        arrays = {name: outputs[name] for name in self.names}
        return arrays if self.batched else {name: np.asarray(array)[None] for name, array in arrays.items()}

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """The largest difference of any value, as a share of its output's largest where that is above 1.

        Nobody says what unit these arrays have: what rounding does to a value grows with it.
        """
        worst = 0.0
        for name, array in expected.items():
            apart = super().difference({name: outputs[name]}, {name: array})
            size = np.abs(array.astype(np.float64)).max(initial=1.0)
            worst = max(worst, apart / size if np.isfinite(size) else apart)
        return worst

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        tensor = record({"dtype": TEXT, "shape": listed(COUNT), "values": {}})
        return record({"outputs": record(dict.fromkeys(self.names, tensor))})

    def features(self, result: Any) -> dict[str, float | str]:
        """Mean, spread and range of each array."""
        from sdk.monitor.features import array_features  # not needed to predict

        return {**array_features(result.values)}

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Arrays` per sample.

        Raises:
            EngineError: An output holds NaN, or does not have one row per item.
        """
        for name in self.names:
            self._require_sound(name, outputs[name], len(samples))
        return [
            Arrays({name: outputs[name][row] for name in self.names}, sample.source)
            for row, sample in enumerate(samples)
        ]

    def _require_sound(self, name: str, array: Array, count: int) -> None:
        if array.ndim == 0 or len(array) != count:
            raise EngineError(
                f"Output '{name}'",
                got=f"shape {array.shape} for {count} items",
                expected="one row per item",
                fix='Write "batched": false into the spec\'s input and output, or leave this output out.',
            )
        if array.dtype.kind == "f" and array.size and np.isnan(array.min()):
            raise EngineError(
                f"Output '{name}'",
                got="NaN",
                expected="numbers",
                fix="Run it in fp32: the network overflows.",
            )
