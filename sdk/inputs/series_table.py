"""Rows with times: read from CSV, mappings or data frames, and checked to lie on a regular grid."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import Array, InputError

_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?Z?")
_BLANK = ("", "nan", "na", "null", "none")
LARGEST_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Table:
    """Columns of numbers over time.

    Attributes:
        times: datetime64[s] (T,), of one clock: UTC, or any other without summer time.
        columns: float64 (T,) by name; NaN where nothing is known.
    """

    times: Array
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.times)

    def part(self, start: int, stop: int) -> Table:
        """Rows from `start` to before `stop`; shares memory."""
        rows = slice(start, stop)
        return Table(self.times[rows], {name: values[rows] for name, values in self.columns.items()})

    def to_csv(self, time: str) -> bytes:
        """The table as CSV with exact numbers; `time` names the first column, blank cells are NaN."""
        names = list(self.columns)
        lines = [",".join(_quoted(name) for name in (time, *names))]
        for at, moment in enumerate(self.times):
            cells = (_cell(float(self.columns[name][at])) for name in names)
            lines.append(",".join((str(moment), *cells)))
        return ("\n".join(lines) + "\n").encode()


def read_table(item: Any, time: str, names: Sequence[str]) -> Table:
    """Some columns of an item.

    Args:
        item: A `Table`, the path or the bytes of a CSV file with a header, a mapping from column names to
            sequences, or a data frame.
        time: Column with the times: ISO 8601 without an offset from UTC, or datetime64.
        names: Columns to keep.

    Raises:
        InputError: It is none of these, a column is missing, or a cell cannot be read.
    """
    if isinstance(item, Table):
        _require_columns("Series", list(item.columns), names)
        return Table(item.times, {name: item.columns[name] for name in names})
    subject = f"Series {Path(item).name!r}" if isinstance(item, (str, os.PathLike)) else "Series"
    columns = _columns_of(item, subject)
    _require_columns(subject, list(columns), (time, *names))
    lengths = {name: len(columns[name]) for name in (time, *names)}
    if len(set(lengths.values())) > 1:
        raise InputError(subject, got=f"columns of {lengths} rows", expected="one length", fix="Cut them.")
    if not lengths[time]:
        raise InputError(subject, got="no rows", expected="rows of times and numbers", fix="Check the file.")
    times = _times(columns[time], f"{subject}, column {time!r}")
    return Table(times, {name: _numbers(columns[name], f"{subject}, column {name!r}") for name in names})


def column_names(path: Path) -> list[str]:
    """The header of a CSV file.

    Raises:
        InputError: It cannot be read.
    """
    return list(_csv_columns(path, f"Series {path.name!r}"))


def step_seconds(table: Table) -> int:
    """The most common distance between two rows, in seconds.

    Raises:
        InputError: There are fewer than two rows, or most stand at one time.
    """
    steps = np.diff(table.times).astype(np.int64)
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[counts.argmax()]) if len(values) else 0
    if step < 1:
        raise InputError("Series", got=f"{len(table)} rows, mostly {step} s apart",
                         expected="rows in order of time", fix="Sort them, one row a time.")  # fmt: skip
    return step


def regular(table: Table, step_s: int, fill_rows: int, target: str) -> Table:
    """The table with a row every `step_s` seconds and no missing numbers but in its future.

    The rows behind the last number of `target` are the future; there nothing is filled. Elsewhere up to
    `fill_rows` missing rows or numbers in a row take the last value before them.

    Raises:
        InputError: Times are out of order, twice there or off the grid; more is missing; or a number is
            infinite.
    """
    _require_order(table, step_s)
    table = _with_missing_rows(table, step_s, fill_rows)
    known = len(table) - int(np.isnan(table.columns[target][::-1]).cumprod().sum())
    columns = {}
    for name, values in table.columns.items():
        if np.isinf(values).any():
            raise _at(
                table, int(np.isinf(values).argmax()), f"infinity in {name!r}", "numbers", "Correct it."
            )
        if np.isnan(values[:known]).any():
            values = np.concatenate([_filled(table, name, known, fill_rows), values[known:]])  # noqa: PLW2901
        columns[name] = values
    return Table(table.times, columns)


def _require_order(table: Table, step_s: int) -> None:
    steps = np.diff(table.times).astype(np.int64)
    if (steps < 0).any():
        raise _at(table, int((steps < 0).argmax()) + 1, "a time before that of the row above", "rising times",
                  "Sort the rows by time.")  # fmt: skip
    if (steps == 0).any():
        raise _at(table, int((steps == 0).argmax()) + 1, "a time that is there twice", "each time once",
                  "Keep one row of each time (summer time repeats an hour: use UTC).")  # fmt: skip
    if (steps % step_s).any():
        at = int((steps % step_s != 0).argmax())
        raise _at(table, at + 1, f"a row {steps[at]} s after the one above", f"multiples of {step_s} s",
                  "Resample the series to that step.")  # fmt: skip


def _with_missing_rows(table: Table, step_s: int, fill_rows: int) -> Table:
    missing = np.diff(table.times).astype(np.int64) // step_s - 1
    if not len(missing) or not missing.any():
        return table
    at = int(missing.argmax())
    if missing[at] > fill_rows:
        raise _at(table, at, f"{missing[at]} rows missing behind it", _expected_gap(fill_rows, step_s),
                  "Fill the gap, or train with a larger --fill.")  # fmt: skip
    rows = (table.times - table.times[0]).astype(np.int64) // step_s
    times = table.times[0] + np.arange(rows[-1] + 1) * np.timedelta64(step_s, "s")
    columns = {}
    for name, values in table.columns.items():
        columns[name] = np.full(len(times), np.nan)
        columns[name][rows] = values
    return Table(times, columns)


def _filled(table: Table, name: str, known: int, fill_rows: int) -> Array:
    """A column's first `known` numbers, small holes filled with the number before them."""
    values = table.columns[name][:known].copy()
    holes = np.isnan(values)
    source = np.maximum.accumulate(np.where(holes, -1, np.arange(known)))
    length = np.arange(known) - source
    if holes[0] or length.max() > fill_rows:
        at = 0 if holes[0] else int((length > fill_rows).argmax())
        got = f"no number in {name!r}" + (f" for {fill_rows + 1} rows" if fill_rows and not holes[0] else "")
        expected = f"holes of at most {fill_rows}" if fill_rows else "a number in every row"
        raise _at(table, at, got, expected,
                  "Fill the hole, or train with a larger --fill.")  # fmt: skip
    filled: Array = values[source]
    return filled


def _expected_gap(fill_rows: int, step_s: int) -> str:
    return f"a row every {step_s} s" + (f", or at most {fill_rows} missing at a time" if fill_rows else "")


def _at(table: Table, row: int, got: str, expected: str, fix: str) -> InputError:
    return InputError(f"Series, row {row + 1} ({table.times[row]})", got=got, expected=expected, fix=fix)


def _columns_of(item: Any, subject: str) -> Mapping[str, Any]:
    if isinstance(item, (str, os.PathLike, bytes)):
        return _csv_columns(item, subject)
    if isinstance(item, Mapping):
        return item
    if hasattr(item, "columns") and hasattr(item, "to_dict"):
        return {str(name): item[name].to_numpy() for name in item.columns}  # a data frame of pandas
    raise InputError(subject, got=type(item).__name__,
                     expected="a CSV file, its bytes, a mapping of columns, or a data frame",
                     fix="Save the series as CSV with a header.")  # fmt: skip


def _csv_columns(item: Any, subject: str) -> dict[str, list[str]]:
    text = _text(item, subject)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row] or [[]]
    except csv.Error as error:
        raise InputError(
            subject, got=str(error), expected="CSV with a header", fix="Save it again."
        ) from error
    names = [name.strip() for name in header]
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise InputError(f"{subject}, line {number}", got=f"{len(row)} cells",
                             expected=f"{len(names)}, as in the header", fix="Mend the line.")  # fmt: skip
    return dict(zip(names, map(list, zip(*rows, strict=True)) if rows else ([] for _ in names), strict=True))


def _text(item: Any, subject: str) -> str:
    fix = "Name a CSV file with a header, in UTF-8."
    try:
        data = item if isinstance(item, bytes) else _read(Path(item), subject)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(subject, got="bytes that are no UTF-8", expected="CSV text", fix=fix) from error
    except OSError as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or "no file")
        raise InputError(subject, got=got, expected="a CSV file", fix=fix) from error


def _read(path: Path, subject: str) -> bytes:
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(subject, got=f"{path.stat().st_size} bytes", expected=f"at most {LARGEST_BYTES}",
                         fix="Cut the file: a forecast needs its last rows alone.")  # fmt: skip
    return path.read_bytes()


def _require_columns(subject: str, there: Sequence[Any], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        shown = ", ".join(repr(str(name)) for name in list(there)[:12]) or "none"
        raise InputError(subject, got=f"columns {shown}", expected=f"a column {missing[0]!r}",
                         fix="Name the columns in a header as the model was trained on them.")  # fmt: skip


def _times(cells: Any, where: str) -> Array:
    array = np.asarray(cells)
    if array.dtype.kind == "M":
        times = array.astype("datetime64[s]")
    else:
        for row, cell in enumerate(array.tolist()):
            if not _TIME.fullmatch(str(cell).strip()):
                raise _no_time(where, row, cell)
        texts = [str(cell).strip().rstrip("Z") for cell in array.tolist()]
        try:
            times = np.array(texts, dtype="datetime64[s]")
        except ValueError as error:
            raise _no_time(where, 0, str(error)) from error
    if np.isnat(times).any():
        raise _no_time(where, int(np.isnat(times).argmax()), "NaT")
    return times


def _no_time(where: str, row: int, cell: Any) -> InputError:
    return InputError(f"{where}, row {row + 1}", got=repr(cell)[:60],
                      expected="a time such as 2024-03-31 14:00:00, without an offset from UTC",
                      fix="Write times in ISO 8601, all of one clock.")  # fmt: skip


def _numbers(cells: Any, where: str) -> Array:
    array = np.asarray(cells)
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    values = np.empty(len(array))
    for row, cell in enumerate(array.tolist()):
        text = "" if cell is None else str(cell).strip()
        try:
            values[row] = np.nan if text.lower() in _BLANK else float(text)
        except ValueError as error:
            raise InputError(f"{where}, row {row + 1}", got=repr(text)[:60], expected="a number, or nothing",
                             fix="Correct the cell, or leave the column out.") from error  # fmt: skip
    return values


def _cell(value: float) -> str:
    return "" if np.isnan(value) else repr(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',;"\t\n') else name
