"""A forecaster in the style of the Temporal Fusion Transformer (see `train.networks.tft_blocks`).

It differs from the paper in three points. The past is read in patches, a day of hours at a time, so that the
LSTM and the attention see weeks as few steps. The values of earlier seasons at the same place are an input
of their own, and the median is the last of them and a correction. There are no static variables: a model is
of one series.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.networks.series_blocks import QuantileHead, ScaledForecaster, SeriesShape
from train.networks.tft_blocks import (
    GatedResidual,
    GatedSum,
    InterpretableAttention,
    VariableSelection,
    by_variable,
)

DEFAULT_HIDDEN = 48
DEFAULT_HEADS = 4


def build(
    *,
    past_groups: list[int],
    future_groups: list[int],
    context: int,
    horizon: int,
    levels: int,
    season: int,
    patch: int,
    hidden: int = DEFAULT_HIDDEN,
    heads: int = DEFAULT_HEADS,
    dropout: float = 0.1,
) -> nn.Module:
    """Build the network.

    Args:
        past_groups: Columns of each variable of the past, in order; the first is the target alone.
        future_groups: Columns of each variable that is known of the horizon.
        context: See `SeriesShape`; a multiple of `patch`.
        horizon: See `SeriesShape`, as for the next two.
        levels: Likewise.
        season: Likewise.
        patch: Rows of the past that make one step.
        hidden: Width; a multiple of `heads`.
        heads: Of the attention.
        dropout: Share of features that are left out while training.
    """
    shape = SeriesShape(sum(past_groups), sum(future_groups), context, horizon, levels, season)
    return TemporalFusion(
        shape,
        past_groups=list(past_groups),
        future_groups=list(future_groups),
        patch=patch,
        hidden=hidden,
        heads=heads,
        dropout=dropout,
    )


class TemporalFusion(ScaledForecaster):
    """See `build`."""

    def __init__(
        self,
        shape: SeriesShape,
        *,
        past_groups: list[int],
        future_groups: list[int],
        patch: int,
        hidden: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__(shape)
        if shape.context % patch or hidden % heads:
            raise ValueError(f"context {shape.context} by patch {patch}, hidden {hidden} by heads {heads}")
        self.patch, self.past_groups = patch, past_groups
        steps = shape.context // patch
        self.select_past = VariableSelection([patch * size for size in past_groups], hidden, dropout)
        self.select_future = VariableSelection([*future_groups, shape.seasons], hidden, dropout)
        self.encoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.decoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.after_lstm = GatedSum(hidden, hidden, dropout)
        self.enrich = GatedResidual(hidden, hidden, dropout)
        self.attention = InterpretableAttention(hidden, heads, shape.horizon, steps)
        self.after_attention = GatedSum(hidden, hidden, dropout)
        self.think = GatedResidual(hidden, hidden, dropout)
        self.after_all = GatedSum(hidden, hidden, dropout)
        self.head = QuantileHead(hidden, shape.levels)
        nn.init.zeros_(self.head.linear.weight)

    def forecast_scaled(self, past: Tensor, future: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantiles, attention (N, horizon, steps + horizon), and shares of the variables (N, variables)."""
        base, earlier = self.seasonal(past[:, :, 0])
        seen, past_shares = self.select_past(self._patches(past))
        told, future_shares = self.select_future(torch.cat([future, base, earlier], dim=-1))
        behind, state = self.encoder(seen)
        ahead, _ = self.decoder(told, state)
        chosen, found = torch.cat([seen, told], dim=1), torch.cat([behind, ahead], dim=1)
        local = self.after_lstm(found, chosen)
        rows = self.enrich(local)
        steps = seen.shape[1]
        asking = rows[:, steps:]
        looked, weights = self.attention(asking, rows)
        features = self.think(self.after_attention(looked, asking))
        features = self.after_all(features, local[:, steps:])
        shares = torch.cat([past_shares.mean(dim=1), future_shares.mean(dim=1)], dim=-1)
        return self.head(features, base), weights, shares

    def _patches(self, past: Tensor) -> Tensor:
        """Each variable's numbers of a patch side by side: (N, steps, patch * columns)."""
        steps = self.shape.context // self.patch
        parts = by_variable(past, self.past_groups)
        return torch.cat([part.reshape(-1, steps, self.patch * part.shape[-1]) for part in parts], dim=-1)
