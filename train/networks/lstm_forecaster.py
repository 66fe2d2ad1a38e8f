"""An LSTM over patches of the past, and a small network that forecasts each row of the horizon.

The LSTM takes a whole patch (a day of hours) in one step. Two weeks are 14 steps then, not 336: quick to
train, and short enough for runtimes that unroll recurrent networks. The median is the value one season before
and a correction, so that an untrained network already forecasts as a seasonal naive method does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.networks.series_blocks import QuantileHead, ScaledForecaster, SeriesShape

DEFAULT_HIDDEN = 128
_ROW_FEATURES = 16
"""Of the state, for each row of the horizon."""


def build(
    *,
    past_columns: int,
    future_columns: int,
    context: int,
    horizon: int,
    levels: int,
    season: int,
    patch: int,
    hidden: int = DEFAULT_HIDDEN,
    layers: int = 1,
    dropout: float = 0.1,
) -> nn.Module:
    """Build the network.

    Args:
        past_columns: See `SeriesShape`, as for the next five.
        future_columns: Likewise.
        context: Likewise; a multiple of `patch`.
        horizon: Likewise.
        levels: Likewise.
        season: Likewise.
        patch: Rows that the LSTM takes in one step.
        hidden: Width.
        layers: Of the LSTM.
        dropout: Share of features that are left out while training.
    """
    shape = SeriesShape(past_columns, future_columns, context, horizon, levels, season)
    return LstmForecaster(shape, patch, hidden, layers, dropout)


class LstmForecaster(ScaledForecaster):
    """See `build`."""

    def __init__(self, shape: SeriesShape, patch: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__(shape)
        if shape.context % patch:
            raise ValueError(f"context {shape.context} is no multiple of patch {patch}")
        self.patch, self.layers, self.hidden = patch, layers, hidden
        self.embed = nn.Sequential(nn.Linear(patch * shape.past_columns, hidden), nn.ReLU())
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.expand = nn.Linear(hidden, shape.horizon * _ROW_FEATURES)
        features = _ROW_FEATURES + shape.future_columns + shape.seasons
        self.rows = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.head = QuantileHead(hidden, shape.levels)
        nn.init.zeros_(self.head.linear.weight)

    def forecast_scaled(self, past: Tensor, future: Tensor) -> tuple[Tensor]:
        """See `ScaledForecaster.forecast_scaled`."""
        patches = past.reshape(-1, self.shape.context // self.patch, self.patch * self.shape.past_columns)
        states, _ = self.lstm(self.embed(patches))
        return (self._decode(states[:, -1], past[:, :, 0], future),)

    def step(
        self, past: Tensor, future: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the LSTM with carried state, and the forecast from where that leads.

        Args:
            past: float32 (N, context, past_columns) in raw numbers; the LSTM takes the last `patch` rows,
                what is before them only gives the values of earlier seasons.
            future: float32 (N, horizon, future_columns).
            hidden: float32 (N, layers, hidden): the state `patch` rows ago.
            cell: float32 (N, layers, hidden), likewise.

        Returns:
            Quantiles float32 (N, horizon, levels), hidden and cell.
        """
        past, future = self.past_scaler(past), self.future_scaler(future)
        last = past[:, self.shape.context - self.patch :]
        step = self.embed(last.reshape(-1, 1, self.patch * self.shape.past_columns))
        state = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        states, (hidden, cell) = self.lstm(step, state)
        quantiles = self.unscaled(self._decode(states[:, -1], past[:, :, 0], future))
        return quantiles, hidden.transpose(0, 1), cell.transpose(0, 1)

    def _decode(self, state: Tensor, target: Tensor, future: Tensor) -> Tensor:
        base, earlier = self.seasonal(target)
        told = self.expand(state).reshape(-1, self.shape.horizon, _ROW_FEATURES)
        rows = self.rows(torch.cat([told, future, base, earlier], dim=-1))
        return self.head(rows, base)
