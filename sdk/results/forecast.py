"""The answer of a forecasting network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes import Array, UsageError

if TYPE_CHECKING:
    from PIL import Image

_SHOWN = 3


@dataclass(frozen=True)
class Forecast:
    """What is to come, and how sure that is.

    Attributes:
        target: Name of what is forecast.
        unit: Of its values; may be empty.
        times: When, datetime64[s] (H,).
        levels: Shares of 1 in rising order, 0.5 among them.
        quantiles: float32 (H, levels): the true value lies below each with the probability of its level.
        attention: For networks that have it: how much each forecast row looked at which part of the past,
            float32 (H, parts), oldest first; rows sum to at most 1, the rest is other rows of the horizon.
        variables: For networks that select: the share of each input variable.
        source: The rows behind it, as a `sdk.inputs.series_table.Table`.
    """

    target: str
    unit: str
    times: Array = field(compare=False)
    levels: tuple[float, ...]
    quantiles: Array = field(repr=False, compare=False)
    attention: Array | None = field(repr=False, compare=False)
    variables: Mapping[str, float] | None = field(repr=False, compare=False)
    source: Any = field(repr=False, compare=False)

    @property
    def values(self) -> Array:
        """The medians, float32 (H,)."""
        median: Array = self.quantiles[:, self.levels.index(0.5)]
        return median

    def interval(self, share: float) -> tuple[Array, Array]:
        """Lower and upper ends, (H,) each, between which the true value lies with probability `share`.

        Raises:
            UsageError: The model was not trained for it.
        """
        for at, level in enumerate(self.levels[: len(self.levels) // 2]):
            if abs(1 - 2 * level - share) < 1e-6:
                return self.quantiles[:, at], self.quantiles[:, -1 - at]
        raise UsageError(
            "Interval",
            got=repr(share),
            expected=f"one of {[round(1 - 2 * q, 6) for q in self.levels if q < 0.5]}",
            fix="Train with --quantiles that hold it.",
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON data: times in ISO 8601, and the values of each level."""
        return {
            "target": self.target,
            "unit": self.unit,
            "times": [str(moment) for moment in self.times],
            "median": self.values.tolist(),
            "quantiles": {
                f"{level:g}": self.quantiles[:, at].tolist() for at, level in enumerate(self.levels)
            },
            "variables": None if self.variables is None else dict(self.variables),
        }

    def summary(self) -> str:
        """The first values, their number, and the widest interval's ends of the first."""
        first = ", ".join(f"{value:.4g}" for value in self.values[:_SHOWN])
        more = f", … ({len(self.times)} rows)" if len(self.times) > _SHOWN else ""
        low, high = self.quantiles[0, 0], self.quantiles[0, -1]
        sure = (
            f"; first with {1 - 2 * self.levels[0]:.0%}: {low:.4g} to {high:.4g}"
            if len(self.levels) > 1
            else ""
        )
        return f"{self.target} from {self.times[0]}: {first} {self.unit}".rstrip() + more + sure

    def plot(self) -> Image.Image:
        """The recent past, the medians and the intervals over time; a new RGB image."""
        from sdk.results.forecast_picture import draw_forecast

        return draw_forecast(self)
