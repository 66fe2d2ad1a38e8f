"""Drift: whether what a model is asked and what it answers still look as they did where it was proved.

A feature has drifted when both hold: its population stability index says that the change is large enough to
matter, and a test says that it is no accident (Kolmogorov–Smirnov for numbers, chi-square for words, with the
p-value multiplied by the number of features: Bonferroni). The index alone cries wolf on small windows, the
test alone on large ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from runtimes import UsageError
from sdk.monitor.reference import NumberReference, Reference, Row, WordReference, columns_of
from sdk.monitor.statistics import (
    binned,
    category_counts,
    chi_square_p_value,
    ks_distance,
    ks_p_value,
    psi,
)

PSI_LIMIT = 0.2
"""Above it a population has shifted, by the usual reading (0.1 to 0.2: look at it; above: act)."""
SIGNIFICANCE = 0.01
"""A false alarm in a hundred windows at most, over all features together."""
FEWEST_ROWS = 200
"""Fewer decide nothing: the index of 200 rows of the reference itself is 0.05 on average."""
DEFAULT_WINDOW = 500
"""Rows that a server compares at a time."""
REARM_SHARE = 0.75
"""An alarm is over when the index is below this share of its limit: it shall not flutter at the limit."""
NUMBER, WORD = "number", "word"
DRIFT, STABLE, UNDECIDED = "drift", "no drift", "too few rows"


@dataclass(frozen=True)
class Limits:
    """What counts as drift.

    Attributes:
        psi: Smallest population stability index that matters.
        significance: Largest corrected p-value.
        fewest: Rows below which nothing is decided.
    """

    psi: float = PSI_LIMIT
    significance: float = SIGNIFICANCE
    fewest: int = FEWEST_ROWS

    def __post_init__(self) -> None:
        _require("--psi", self.psi, self.psi > 0, "above 0")
        _require("--significance", self.significance, 0 < self.significance < 1, "between 0 and 1")
        _require("--min-rows", self.fewest, self.fewest >= 2, "at least 2")


@dataclass(frozen=True)
class FeatureDrift:
    """One feature of a window, against the reference.

    Attributes:
        name: Such as ``input.brightness``.
        kind: `NUMBER` or `WORD`.
        psi: Population stability index.
        distance: Of Kolmogorov and Smirnov, 0..1; None for words.
        p_value: Corrected for the number of features, at most 1.
        rows: Values in the window.
        reference_rows: Values behind the reference.
        drifted: Whether both the index and the test say so.
    """

    name: str
    kind: str
    psi: float
    distance: float | None
    p_value: float
    rows: int
    reference_rows: int
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """A window against the reference.

    Attributes:
        model: The model's name.
        version: Of the version that answered.
        rows: In the window.
        from_utc: Of its first row, ISO 8601; None where nobody said.
        until_utc: Of its last.
        split: Which data the reference is of.
        limits: What counts.
        features: Each, the largest index first.
        unknown: Features of the reference that the window has nothing of, and the other way round.
    """

    model: str
    version: str
    rows: int
    from_utc: str | None
    until_utc: str | None
    split: str
    limits: Limits
    features: tuple[FeatureDrift, ...] = field(repr=False)
    unknown: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        """The features that did."""
        return tuple(feature for feature in self.features if feature.drifted)

    @property
    def status(self) -> str:
        """`DRIFT`, `STABLE` or `UNDECIDED`."""
        if self.rows < self.limits.fewest or not self.features:
            return UNDECIDED
        return DRIFT if self.drifted else STABLE

    @property
    def over(self) -> bool:
        """Whether an alarm is over: decided, and every feature clearly below the limit or insignificant."""
        eased = self.limits.psi * REARM_SHARE
        calm = all(f.psi < eased or f.p_value > self.limits.significance for f in self.features)
        return self.status == STABLE and calm

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        told = asdict(self)
        return {"status": self.status, "drifted": [f.name for f in self.drifted], **told}

    def summary(self) -> str:
        """One line."""
        if self.status == UNDECIDED:
            return f"{self.rows} rows, {self.limits.fewest} are needed to tell"
        if not self.features:
            return "nothing to compare"
        worst = self.features[0]
        if self.status == STABLE:
            return f"no drift in {self.rows} rows (largest PSI {worst.psi:.3f}, {worst.name})"
        names = ", ".join(f"{feature.name} PSI {feature.psi:.2f}" for feature in self.drifted)
        return f"{len(self.drifted)} of {len(self.features)} features drifted in {self.rows} rows: {names}"


def measure_drift(
    reference: Reference,
    rows: Sequence[Row],
    limits: Limits | None = None,
    *,
    model: str = "",
    version: str = "",
    span_utc: tuple[str | None, str | None] = (None, None),
) -> DriftReport:
    """Compare a window of predictions with the reference.

    Args:
        reference: Of the artifact.
        rows: Features of each prediction, as `sdk.monitor.prediction_log.features_of` gives them.
        limits: What counts as drift.
        model: For the report.
        version: For the report.
        span_utc: When the first and the last row were.
    """
    limits = limits or Limits()
    columns = columns_of(rows)
    known: dict[str, NumberReference | WordReference] = {**reference.numbers, **reference.words}
    shared = [name for name in known if name in columns]
    found = [_feature(name, known[name], columns[name], len(shared), limits) for name in shared]
    found.sort(key=lambda feature: (-feature.drifted, -feature.psi, feature.name))
    unknown = tuple(sorted(set(known) ^ set(columns)))
    return DriftReport(model, version, len(rows), *span_utc, reference.split, limits, tuple(found), unknown)


def _feature(
    name: str,
    reference: NumberReference | WordReference,
    column: Sequence[float | str],
    features: int,
    limits: Limits,
) -> FeatureDrift:
    distance: float | None = None
    if isinstance(reference, NumberReference):
        known = reference.values()
        # As float32, which the reference is kept in: equal numbers must stay equal.
        values = np.array([value for value in column if not isinstance(value, str)], np.float32)
        index = psi(*binned(known, values))
        distance = ks_distance(known, values)
        p_value = ks_p_value(distance, reference.count, len(values))
    else:
        tally = reference.tally(str(value) for value in column)
        expected, counted = category_counts(reference.counts, Counter(tally))
        index, p_value = psi(expected, counted), chi_square_p_value(expected, counted)
    corrected = min(1.0, p_value * features)
    drifted = index >= limits.psi and corrected <= limits.significance
    kind = WORD if distance is None else NUMBER
    return FeatureDrift(name, kind, index, distance, corrected, len(column), reference.count, drifted)


def _require(option: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UsageError(f"Option {option}", got=str(value), expected=expected, fix="Choose another.")
