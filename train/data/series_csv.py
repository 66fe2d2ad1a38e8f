"""A series in a CSV file, divided by time, and its windows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array, DataError
from sdk.inputs.calendar_features import DAY_S
from sdk.inputs.series import SeriesInput
from sdk.inputs.series_table import Table, read_table, regular
from train.tasks.base import Split

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Division:
    """How a series is divided by time: the oldest rows train, the newest test.

    Attributes:
        val_rows: Rows that choose the epoch; None is a tenth.
        test_rows: Rows at the end that judge; None is a fifth, 0 is none.
        stride: Rows from one training window to the next.
        eval_stride: Rows from one forecast of ``val`` or ``test`` to the next; None is the horizon, so that
            every row is forecast once.
        fold: Of a cross-validation: which fold, of how many. The rows without the test are cut into one block
            more than there are folds; a fold is judged on a block and learns from all before it, never from
            what came later. None divides as the other attributes say.
    """

    val_rows: int | None = None
    test_rows: int | None = None
    stride: int = 1
    eval_stride: int | None = None
    fold: tuple[int, int] | None = None

    def ranges(self, rows: int) -> dict[str, tuple[int, int]]:
        """First row, and the row behind the last, of each part."""
        test = rows // 5 if self.test_rows is None else self.test_rows
        val = rows // 10 if self.val_rows is None else self.val_rows
        begin, end = rows - test - val, rows - test
        if self.fold is not None:
            at, folds = self.fold
            begin, val_end = (end * (at + ahead) // (folds + 1) for ahead in (0, 1))
            return {"train": (0, begin), "val": (begin, val_end), "test": (end, rows)}
        return {"train": (0, begin), "val": (begin, end), "test": (end, rows)}


@dataclass(frozen=True)
class Truth:
    """What came, and what was known before.

    Attributes:
        values: float64 (H,).
        past: The target's context, float64 (context,).
        naive_error: Mean absolute error of the seasonal naive forecast over the training rows, by which
            MASE divides.
    """

    values: Array
    past: Array
    naive_error: float


class Rows(Sequence[Any]):
    """One thing per window, made when asked for.

    Args:
        origins: First forecast row of each window.
        make: From an origin to what stands for its window.
    """

    def __init__(self, origins: range, make: Callable[[int], Any]) -> None:
        self._origins = origins
        self._make = make

    def __len__(self) -> int:
        return len(self._origins)

    def __getitem__(self, at: Any) -> Any:
        chosen = self._origins[at]
        return [self._make(origin) for origin in chosen] if isinstance(chosen, range) else self._make(chosen)


class SeriesData:
    """A series on its regular grid.

    Args:
        data: The CSV file.
        series: Names the columns and the window.
        division: How it is divided.

    Raises:
        InputError: The file cannot be read, or its rows are not regular.
        DataError: A part is shorter than one window.
    """

    def __init__(self, data: Path, series: SeriesInput, division: Division) -> None:
        self.series = series
        table = read_table(require_file(data), series.time, series.names)
        table = regular(table, series.step_s, series.fill_rows, series.target)
        blank = int(np.isnan(table.columns[series.target][::-1]).cumprod().sum())
        self.table = table.part(0, len(table) - blank)
        self.ranges = division.ranges(len(self.table))
        eval_stride = division.eval_stride or series.horizon
        self._strides = {"train": division.stride, "val": eval_stride, "test": eval_stride}
        target = self.train_table.columns[series.target]
        self._naive_error = seasonal_naive_error(target, season_of(series.step_s))
        self._require_windows(data)

    @property
    def has_test(self) -> bool:
        """Whether rows are held out for a test."""
        start, stop = self.ranges["test"]
        return stop > start

    @property
    def train_table(self) -> Table:
        """The rows that may be learned from: all that scalers and networks ever see."""
        return self.table.part(*self.ranges["train"])

    def origins(self, split: str) -> range:
        """First forecast rows of a part's windows: the horizon lies in it, the context may reach back."""
        start, stop = self.ranges[split]
        return range(max(start, self.series.context), stop - self.series.horizon + 1, self._strides[split])

    def split(self, name: str) -> Split:
        """The windows of one part.

        Raises:
            DataError: There is no such part.
        """
        if name not in SPLITS or (name == "test" and not self.has_test):
            raise DataError(f"Split {name!r}", got="a series without it", expected="train, val or test",
                            fix="Hold rows out: --test-rows N.")  # fmt: skip
        origins = self.origins(name)
        rows = self.table.part(*self.ranges[name]).to_csv(self.series.time)
        digest = hashlib.sha256(rows).hexdigest()
        return Split(name, Rows(origins, self._item), Rows(origins, self._truth), (), digest)

    def _truth(self, origin: int) -> Truth:
        target, series = self.table.columns[self.series.target], self.series
        behind, before = slice(origin, origin + series.horizon), slice(origin - series.context, origin)
        return Truth(target[behind], target[before], self._naive_error)

    def _item(self, origin: int) -> Table:
        """A window as it would be on the device: nothing of the future but what is known of it."""
        window = self.table.part(origin - self.series.context, origin + self.series.horizon)
        columns = {}
        for name, values in window.columns.items():
            columns[name] = values
            if name not in self.series.known:
                columns[name] = values.copy()
                columns[name][self.series.context :] = np.nan
        return Table(window.times, columns)

    def _require_windows(self, data: Path) -> None:
        for name, (start, stop) in self.ranges.items():
            need = self.series.horizon + (self.series.context if name == "train" else 0)
            if stop - start < need and (stop > start or name != "test"):
                raise DataError(
                    f"Series {Path(data).name!r}, part {name!r}",
                    got=f"{max(0, stop - start)} of {len(self.table)} rows",
                    expected=f"at least {need}, for one forecast of {self.series.horizon} rows",
                    fix="Use a longer series, or change --horizon, --context, --val-rows or --test-rows.",
                )


def require_file(data: Path) -> Path:
    """The CSV file: `data` itself, or the only one in that folder.

    Raises:
        DataError: There is none, or more than one.
    """
    if not data.is_dir():
        return data
    found = sorted(path for path in data.glob("*.csv") if path.is_file())
    if len(found) != 1:
        raise DataError(f"Folder {data.name!r}", got=f"{len(found)} .csv files", expected="one",
                        fix="Name the file.")  # fmt: skip
    return found[0]


def season_of(step_s: int) -> int:
    """Rows of the season that series of this step most often have: a day, of days a week, else one row."""
    if step_s < DAY_S and DAY_S % step_s == 0:
        return DAY_S // step_s
    return 7 if step_s == DAY_S else 1


def seasonal_naive_error(values: Array, season: int) -> float:
    """Mean absolute difference of values a season apart (the divisor of Hyndman & Koehler 2006's MASE)."""
    return float(np.abs(values[season:] - values[:-season]).mean()) if len(values) > season else float("nan")
