"""Training windows of a series, cut from arrays that are made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtimes import Array
from sdk.inputs.calendar_features import calendar_features
from train.data.series_csv import SeriesData
from train.plan import TrainSet
from train.sampling import Draw


class SeriesTrainSet(TrainSet):
    """Windows of the training rows alone.

    Args:
        data: The series and its division.
    """

    in_memory = True

    def __init__(self, data: SeriesData) -> None:
        series, table = data.series, data.train_table
        calendar = calendar_features(table.times, series.calendar)
        self.past = series.past_rows(table)
        self._known = np.concatenate([series.values(table, series.known), calendar], axis=1)
        self._ahead = series.ahead()
        self._origins = np.asarray(data.origins("train"))
        self._context, self._horizon = series.context, series.horizon

    def __len__(self) -> int:
        return len(self._origins)

    def __getitem__(self, draw: Draw) -> int:
        return int(self._origins[draw.index])

    def collate(self, items: list[Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Past (N, context, columns), future (N, horizon, columns) and the target that came (N, horizon)."""
        starts = np.asarray(items)[:, None]
        before = starts + np.arange(-self._context, 0)
        behind = starts + np.arange(self._horizon)
        ahead = np.broadcast_to(self._ahead, (len(items), *self._ahead.shape))
        future = np.concatenate([ahead, self._known[behind]], axis=2)
        arrays = (self.past[before], future, self.past[behind, 0])
        past, known, target = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return past, known, target


def fit_scale(values: Array, covariates: int) -> tuple[Array, Array]:
    """Mean and deviation of the first `covariates` columns; 0 and 1 for those behind them and for constants.

    Args:
        values: float32 (rows, columns).
        covariates: Columns in units of their own; the others are computed and stay as they are.
    """
    mean, scale = np.zeros(values.shape[1], np.float32), np.ones(values.shape[1], np.float32)
    numbers = values[:, :covariates].astype(np.float64)
    mean[:covariates] = numbers.mean(axis=0)
    deviation = numbers.std(axis=0)
    scale[:covariates] = np.where(deviation > 0, deviation, 1.0)
    return mean, scale
