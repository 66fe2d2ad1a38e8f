"""A made series by the hour: a day's shape, a week's, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdk.inputs.series import SeriesInput
from sdk.inputs.series_table import Table

HOUR_S = 3600


def hourly_table(rows: int, seed: int = 0, start: str = "2024-01-01T00:00:00") -> Table:
    """`load` with a day's and a week's shape and noise, and `warm`, which `load` follows."""
    times = np.datetime64(start, "s") + np.arange(rows) * np.timedelta64(HOUR_S, "s")
    hours = np.arange(rows)
    generator = np.random.default_rng(seed)
    warm = 10 + 5 * np.sin(2 * np.pi * hours / (24 * 30)) + generator.normal(0, 0.5, rows)
    load = 500 + 100 * np.sin(2 * np.pi * hours / 24) + 40 * (hours // 24 % 7 > 4) + 4 * warm
    return Table(times, {"load": load + generator.normal(0, 5, rows), "warm": warm})


def write_series(path: Path, rows: int, seed: int = 0, columns: tuple[str, ...] = ("load",)) -> Path:
    """Some columns of `hourly_table` as a CSV file."""
    table = hourly_table(rows, seed)
    path.write_bytes(Table(table.times, {name: table.columns[name] for name in columns}).to_csv("time"))
    return path


def series_input(**changes: object) -> SeriesInput:
    """Two days back, six hours ahead."""
    fields: dict[str, object] = {
        "time": "time",
        "target": "load",
        "past": (),
        "known": (),
        "calendar": ("hour", "weekday"),
        "context": 48,
        "horizon": 6,
        "step_s": HOUR_S,
        "fill_rows": 0,
    }
    return SeriesInput(**{**fields, **changes})  # type: ignore[arg-type]
