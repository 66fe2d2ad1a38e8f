"""The reference that drift is measured from: features of the predictions that an artifact is proved on."""

from __future__ import annotations

from collections.abc import Sequence

from runtimes import Array
from sdk.kinds import Sample
from sdk.monitor.reference import INPUT, OUTPUT, Reference
from sdk.spec import Spec

REFERENCE_ROWS = 2000
"""Of a larger split so many items, evenly spread, are summed up: beyond that, windows limit a test."""


class ReferenceRows:
    """Gathers features while a split is measured.

    Args:
        spec: Of what is measured.
        count: Items of the split.
    """

    def __init__(self, spec: Spec, count: int) -> None:
        self._spec = spec
        self._step = max(1.0, count / REFERENCE_ROWS)
        self._seen, self._next = 0, 0.0
        self._rows: list[dict[str, float | str]] = []
        kind = spec.output
        # What is measured may be something else than what is served, such as the likelihood of a text that a
        # model would continue: its answers are not watched then.
        self._answers = type(kind.measuring()) is type(kind)

    def see(self, outputs: dict[str, Array], samples: Sequence[Sample]) -> None:
        """A batch's activated outputs, and its samples."""
        chosen = []
        for row in range(len(samples)):
            if self._seen + row >= self._next:
                chosen.append(row)
                self._next += self._step
        self._seen += len(samples)
        if not chosen:
            return
        kept = [samples[row] for row in chosen]
        rows = [
            {f"{INPUT}{name}": value for name, value in self._spec.input.features(sample).items()}
            for sample in kept
        ]
        if self._answers:
            some = {name: array[chosen] for name, array in outputs.items()}
            for row_, result in zip(rows, self._spec.output.read(some, kept), strict=True):
                row_ |= {f"{OUTPUT}{n}": v for n, v in self._spec.output.features(result).items()}
        self._rows += rows

    def reference(self, split: str) -> Reference | None:
        """All of it summed up."""
        return Reference.of(self._rows, split)
