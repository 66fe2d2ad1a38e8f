"""What a time says by itself: hour, weekday and season as numbers. Known for every future row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtimes import Array

DAY_S = 86_400
_YEAR_DAYS = 365.2425
CALENDAR: dict[str, tuple[str, ...]] = {
    "hour": ("hour sin", "hour cos", "half-day sin", "half-day cos"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "year": ("year sin", "year cos"),
}
"""Columns of each feature."""


def calendar_columns(features: Sequence[str]) -> list[str]:
    """Names of all columns of `features`, in order."""
    return [name for feature in features for name in CALENDAR[feature]]


def calendar_features(times: Array, features: Sequence[str]) -> Array:
    """The columns of `features` for some times: float32 (T, columns), circles between -1 and 1.

    Args:
        times: datetime64[s] (T,).
        features: Keys of `CALENDAR`.
    """
    seconds = times.astype("datetime64[s]").astype(np.int64)
    columns: list[Array] = []
    for feature in features:
        if feature == "hour":
            turn = 2 * np.pi * (seconds % DAY_S) / DAY_S
            columns += [np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn)]
        elif feature == "weekday":
            weekday = (seconds // DAY_S + 3) % 7  # 1 January 1970 was a Thursday
            columns += [weekday == day for day in range(7)]
        else:
            turn = 2 * np.pi * (seconds / DAY_S % _YEAR_DAYS) / _YEAR_DAYS
            columns += [np.sin(turn), np.cos(turn)]
    if not columns:
        return np.empty((len(times), 0), np.float32)
    return np.stack([column.astype(np.float32) for column in columns], axis=1)
