"""Parts that forecasting networks share: the scaler, seasonal values, and ordered quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn


@dataclass(frozen=True)
class SeriesShape:
    """What a forecasting network takes and gives.

    Attributes:
        past_columns: Columns of the past, the target first.
        future_columns: Columns that are known of the horizon.
        context: Rows of the past.
        horizon: Rows of the future.
        levels: Quantiles, an odd number; the median is the middle one.
        season: Rows after which the series resembles itself; forecasts start from the value that long before.
    """

    past_columns: int
    future_columns: int
    context: int
    horizon: int
    levels: int
    season: int

    def __post_init__(self) -> None:
        if self.levels % 2 == 0 or not 1 <= self.season <= self.context or self.past_columns < 1:
            raise ValueError(f"{self}")

    @property
    def seasons(self) -> int:
        """Whole seasons in the past."""
        return self.context // self.season


class SeriesScaler(nn.Module):
    """Mean and deviation of every column, as buffers: so they travel in every artifact's graph.

    Args:
        columns: Of the array that is scaled.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def forward(self, rows: Tensor) -> Tensor:
        """Raw numbers (…, columns), scaled."""
        return (rows - self.mean) / self.scale


class SeasonalValues(nn.Module):
    """For every row of the horizon, the target at the same place of the last seasons."""

    def __init__(self, shape: SeriesShape) -> None:
        super().__init__()
        self.shape = shape
        self.repeats = -(-shape.horizon // shape.season)

    def forward(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """From the scaled target.

        Args:
            target: float32 (N, context).

        Returns:
            The value one season before (N, horizon, 1), and how far those of the seasons before that, oldest
            first, are from it (N, horizon, seasons - 1).
        """
        shape = self.shape
        recent = target[:, shape.context - shape.seasons * shape.season :]
        seasons = recent.reshape(-1, shape.seasons, shape.season).transpose(1, 2)
        along = torch.cat([seasons] * self.repeats, dim=1)[:, : shape.horizon]
        last = along[:, :, shape.seasons - 1 :]
        return last, along[:, :, : shape.seasons - 1] - last


class QuantileHead(nn.Module):
    """Quantiles that never cross: the median, and steps of positive length away from it.

    Args:
        features: Of each row.
        levels: Quantiles, an odd number.
    """

    def __init__(self, features: int, levels: int) -> None:
        super().__init__()
        self.side = levels // 2
        self.linear = nn.Linear(features, levels)

    def forward(self, rows: Tensor, base: Tensor) -> Tensor:
        """Rows (N, H, features) and what the median is added to (N, H, 1) to quantiles (N, H, levels)."""
        raw = self.linear(rows)
        median = base + raw[..., :1]
        columns = [median]
        for at in range(self.side):
            below, above = raw[..., 1 + 2 * at : 2 + 2 * at], raw[..., 2 + 2 * at : 3 + 2 * at]
            columns = [columns[0] - F.softplus(below), *columns, columns[-1] + F.softplus(above)]
        return torch.cat(columns, dim=-1)


class ScaledForecaster(nn.Module):
    """A network between scalers: subclasses forecast scaled numbers by `forecast_scaled`.

    Args:
        shape: Of what it takes and gives.
    """

    def __init__(self, shape: SeriesShape) -> None:
        super().__init__()
        self.shape = shape
        self.past_scaler = SeriesScaler(shape.past_columns)
        self.future_scaler = SeriesScaler(shape.future_columns)
        self.seasonal = SeasonalValues(shape)

    def scale_by(self, past: tuple[Tensor, Tensor], future: tuple[Tensor, Tensor]) -> None:
        """Take mean and deviation, (columns,) each, of the past's and the future's columns."""
        for scaler, (mean, scale) in ((self.past_scaler, past), (self.future_scaler, future)):
            scaler.mean.copy_(mean)
            scaler.scale.copy_(scale)

    def unscaled(self, quantiles: Tensor) -> Tensor:
        """Quantiles in the target's own unit."""
        return quantiles * self.past_scaler.scale[:1] + self.past_scaler.mean[:1]

    def forward(self, past: Tensor, future: Tensor) -> Any:
        """From raw rows.

        Args:
            past: float32 (N, context, past_columns).
            future: float32 (N, horizon, future_columns).

        Returns:
            Quantiles float32 (N, horizon, levels) in the target's own unit; then what else the network gives.
        """
        past, future = self.past_scaler(past), self.future_scaler(future)
        quantiles, *more = self.forecast_scaled(past, future)
        quantiles = self.unscaled(quantiles)
        return (quantiles, *more) if more else quantiles

    def forecast_scaled(self, past: Tensor, future: Tensor) -> tuple[Tensor, ...]:
        """Scaled rows to scaled quantiles, and what else the network gives."""
        raise NotImplementedError
