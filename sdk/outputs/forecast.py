"""Forecast: from a network's quantiles to values with times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.results.forecast import Forecast
from sdk.schemas import NUMBER, TEXT, Schema, listed, or_null, record

if TYPE_CHECKING:
    from sdk.outputs.forecast_follower import ForecastFollower
    from sdk.predictor import Predictor

QUANTILES, ATTENTION, VARIABLES = "quantiles", "attention", "variables"
"""Names of the graph outputs; the last two are those of networks that have them."""


@dataclass(frozen=True)
class ForecastOutput(OutputKind):
    """How a forecast is read.

    Attributes:
        target: What is forecast.
        unit: Of its values; may be empty.
        levels: Shares of 1 in rising order, symmetric around the 0.5 among them.
        spread: A factor per level on the distance from the median, found on data that was not trained on, so
            that intervals cover as often as they say (conformal calibration; see Romano et al. 2019,
            "Conformalized Quantile Regression").
        variables: Names of the input variables whose shares the graph gives; empty where it does not.
        parts: Parts of the past that attention looks at; 0 where the graph gives none.
    """

    kind: ClassVar[str] = "forecast"
    bakeable: ClassVar[tuple[str, ...]] = ("spread",)

    target: str
    unit: str
    levels: tuple[float, ...]
    spread: tuple[float, ...]
    variables: tuple[str, ...]
    parts: int

    def __post_init__(self) -> None:
        levels = self.levels
        mirrored = all(abs(a + b - 1) < 1e-9 for a, b in zip(levels, reversed(levels), strict=True))
        rising = all(a < b for a, b in pairwise(levels))
        sound = bool(levels) and 0.5 in levels and levels[0] > 0 and mirrored and rising
        _require("levels", levels, sound, "rising shares of 1, symmetric around 0.5")
        fits = len(self.spread) == len(levels) and min(self.spread) >= 0
        _require("spread", self.spread, fits, "a factor of at least 0 per level")

    def follow(self, predictor: Predictor, history: Any) -> ForecastFollower:
        """A series that grows row by row, with its newest forecast."""
        from sdk.outputs.forecast_follower import ForecastFollower

        return ForecastFollower(predictor, history)

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """`QUANTILES` float32 (N, H, levels) with the calibrated spread; other outputs as they are."""
        quantiles = outputs[QUANTILES].astype(np.float32, copy=False)
        if "spread" not in baked and set(self.spread) != {1.0}:
            median = quantiles[..., len(self.levels) // 2, None]
            quantiles = median + (quantiles - median) * np.asarray(self.spread, np.float32)
        return {**outputs, QUANTILES: quantiles}

    def difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """The largest difference, of quantiles as a share of each item's largest value.

        A forecast is in the series' own unit: what rounding does to it grows with its values.
        """
        rest = {name: array for name, array in expected.items() if name != QUANTILES}
        worst = super().difference(outputs, rest)
        found, wanted = outputs[QUANTILES].astype(np.float64), expected[QUANTILES].astype(np.float64)
        size = np.abs(wanted).reshape(len(wanted), -1).max(axis=1, initial=np.finfo(np.float32).tiny)
        apart = np.abs(found - wanted).reshape(len(wanted), -1).max(axis=1, initial=0.0) / size
        return max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        values = listed(NUMBER)
        return record({
            "target": {"const": self.target},
            "unit": {"const": self.unit},
            "times": listed(TEXT),
            "median": values,
            "quantiles": record({f"{level:g}": values for level in self.levels}),
            "variables": or_null({"type": "object", "additionalProperties": NUMBER}),
        })  # fmt: skip

    def features(self, result: Any) -> dict[str, float | str]:
        """The median's ``mean``, ``spread`` and ``first`` value; mean ``width`` of the widest interval."""
        values, quantiles = result.values.astype(np.float64), result.quantiles.astype(np.float64)
        return {
            "mean": float(values.mean()),
            "spread": float(values.std()),
            "first": float(values[0]),
            "width": float((quantiles[:, -1] - quantiles[:, 0]).mean()),
        }

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Forecast` per sample.

        Raises:
            EngineError: A number is NaN or infinite: the model, or its precision, is broken.
        """
        quantiles = outputs[QUANTILES]
        if not np.isfinite(quantiles).all():
            raise EngineError(
                f"Output {QUANTILES!r}",
                got="NaN or infinity",
                expected="finite numbers",
                fix="Export in fp32, or train again: the network overflows.",
            )
        # Engines round: neighbouring quantiles of a narrow interval may have changed places.
        quantiles = np.sort(quantiles, axis=-1)
        quantiles.setflags(write=False)
        return [self._result(outputs, quantiles[row], row, sample) for row, sample in enumerate(samples)]

    def _result(self, outputs: Mapping[str, Array], quantiles: Array, row: int, sample: Sample) -> Forecast:
        start, step = (np.int64(sample.geometry[name]) for name in ("start_s", "step_s"))
        seconds = start + step * np.arange(len(quantiles), dtype=np.int64)
        variables = None
        if self.variables:
            shares = outputs[VARIABLES][row].tolist()
            variables = dict(zip(self.variables, shares, strict=True))
        attention = outputs[ATTENTION][row][:, : self.parts] if self.parts else None
        return Forecast(
            target=self.target,
            unit=self.unit,
            times=seconds.astype("datetime64[s]"),
            levels=self.levels,
            quantiles=quantiles,
            attention=attention,
            variables=variables,
            source=sample.source,
        )


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
