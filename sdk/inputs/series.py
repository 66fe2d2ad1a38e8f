"""Series: from rows with times to the past that a network sees and what is known of the future."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, InputError, SpecError
from sdk.inputs.calendar_features import CALENDAR, calendar_columns, calendar_features
from sdk.inputs.series_table import Table, read_table, regular
from sdk.kinds import InputKind, Sample
from sdk.schemas import TEXT, Schema, listed, record

PAST, FUTURE = "past", "future"
"""Names of the graph inputs."""
AHEAD = "ahead"
"""First column of `FUTURE`: how far ahead a row is, as a share of the horizon."""


@dataclass(frozen=True)
class SeriesInput(InputKind):
    """How a series is fed.

    An item is a CSV file (or its bytes), a mapping of columns, a data frame or a `Table`. Its last number of
    the target is the present: the `context` rows up to there are the past. Rows behind it, whose target is
    blank, say what is known of the future. Nothing is scaled here: the network does that itself.

    Attributes:
        time: Column with the times.
        target: Column that is forecast.
        past: Further columns that are known up to the present.
        known: Further columns that are known for the horizon too, such as a holiday or a price list.
        calendar: What is computed from the times: keys of `sdk.inputs.calendar_features.CALENDAR`.
        context: Rows of the past that the network sees.
        horizon: Rows that are forecast.
        step_s: Seconds from row to row.
        fill_rows: Up to so many rows or numbers missing in a row take the last value before them; 0 refuses.
    """

    kind: ClassVar[str] = "series"
    bakeable: ClassVar[tuple[str, ...]] = ()
    media_types: ClassVar[tuple[str, ...]] = ("text/csv", "application/octet-stream")

    time: str
    target: str
    past: tuple[str, ...]
    known: tuple[str, ...]
    calendar: tuple[str, ...]
    context: int
    horizon: int
    step_s: int
    fill_rows: int

    def __post_init__(self) -> None:
        names = (self.time, *self.names)
        _require("target", names, len(set(names)) == len(names), "different columns for each role")
        unknown = [feature for feature in self.calendar if feature not in CALENDAR]
        _require("calendar", unknown, not unknown, f"some of {list(CALENDAR)}")
        for name, least in (("context", 1), ("horizon", 1), ("step_s", 1), ("fill_rows", 0)):
            value = getattr(self, name)
            _require(name, value, value >= least, f"at least {least}")

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that are read, the target first."""
        return (self.target, *self.past, *self.known)

    @property
    def past_columns(self) -> tuple[str, ...]:
        """What each column of `PAST` is."""
        return (*self.names, *calendar_columns(self.calendar))

    @property
    def future_columns(self) -> tuple[str, ...]:
        """What each column of `FUTURE` is."""
        return (AHEAD, *self.known, *calendar_columns(self.calendar))

    def load(self, item: Any) -> Sample:
        """The last `context` rows with a target, and the `horizon` rows behind them.

        Raises:
            InputError: The rows are too few or not regular, or something of the future is missing.
        """
        window = self.window(regular(read_table(item, self.time, self.names), self.step_s,
                                     self.fill_rows, self.target))  # fmt: skip
        return self.sample(window)

    def sample(self, window: Table) -> Sample:
        """What the graph takes of a window: `context` rows, and the `horizon` rows behind them."""
        past, future = self.past_array(window), self.future_array(window.part(self.context, len(window)))
        start = window.times[self.context].astype(np.int64)
        geometry = {"start_s": float(start), "step_s": float(self.step_s)}
        return Sample({PAST: past, FUTURE: future}, window, geometry)

    def window(self, table: Table) -> Table:
        """Exactly the rows that matter of a regular table: `context` and then `horizon` of them.

        Raises:
            InputError: They are too few, or a known column ends too early.
        """
        blank = np.isnan(table.columns[self.target])
        present = len(table) - int(blank[::-1].cumprod().sum())
        if present < self.context:
            raise InputError(
                "Series",
                got=f"{present} rows with {self.target!r}",
                expected=f"at least {self.context}, which the model looks back on",
                fix="Pass a longer history.",
            )
        start, stop = present - self.context, min(len(table), present + self.horizon)
        short = present + self.horizon - stop
        found = table.part(start, stop)
        self._require_known(found, short)
        if not short:
            return found
        more = found.times[-1] + (1 + np.arange(short)) * np.timedelta64(self.step_s, "s")
        nothing = np.full(short, np.nan)
        columns = {name: np.concatenate([values, nothing]) for name, values in found.columns.items()}
        return Table(np.concatenate([found.times, more]), columns)

    def past_array(self, table: Table) -> Array:
        """float32 (context, columns) of a table's first `context` rows."""
        return self.past_rows(table.part(0, self.context))

    def past_rows(self, table: Table) -> Array:
        """float32 (rows, columns) of all rows of a table."""
        return np.concatenate(
            [self.values(table, self.names), calendar_features(table.times, self.calendar)], 1
        )

    def future_array(self, table: Table) -> Array:
        """float32 (horizon, columns) of a table of the horizon's rows."""
        known = self.values(table, self.known)
        return np.concatenate([self.ahead(), known, calendar_features(table.times, self.calendar)], axis=1)

    def ahead(self) -> Array:
        """The column `AHEAD`: float32 (horizon, 1), from above 0 to 1."""
        rows = np.arange(1, self.horizon + 1, dtype=np.float32)
        return (rows / np.float32(self.horizon))[:, None]

    def values(self, table: Table, names: Sequence[str]) -> Array:
        """Columns as float32 (rows, names)."""
        values = np.empty((len(table), len(names)), np.float32)
        for at, name in enumerate(names):
            values[:, at] = table.columns[name]
        return values

    def batch(self, samples: Sequence[Sample], baked: Collection[str]) -> dict[str, Array]:  # noqa: ARG002
        """`PAST` float32 (N, context, columns) and `FUTURE` float32 (N, horizon, columns)."""
        return {name: np.stack([sample.arrays[name] for sample in samples]) for name in (PAST, FUTURE)}

    def from_json_item(self, value: Any) -> Any:
        """Columns by name, ``{"columns": {"time": […], …}}``, or the text of a CSV file, ``{"csv": "…"}``."""
        if isinstance(value, Mapping) and len(value) == 1:
            columns, text = value.get("columns"), value.get("csv")
            if isinstance(text, str):
                return text.encode()
            if isinstance(columns, Mapping) and all(isinstance(cells, list) for cells in columns.values()):
                return columns
        raise InputError(
            "Series",
            got=f"JSON of type {type(value).__name__}"
            if not isinstance(value, Mapping)
            else "another object",
            expected='{"columns": {name: [cells]}} or {"csv": text}',
            fix=f"Columns are {self.time!r} and {list(self.names)}.",
        )

    def json_schema(self) -> Schema:
        """See `from_json_item`."""
        cell: Schema = {"type": ["number", "string", "null"]}
        columns: Schema = {
            "type": "object",
            "properties": {name: listed(cell) for name in (self.time, *self.names)},
            "additionalProperties": listed(cell),
        }
        return {"anyOf": [record({"columns": columns}), record({"csv": TEXT})]}

    def features(self, sample: Sample) -> dict[str, float]:
        """Of each column of the past that is no calendar: ``mean``, ``spread`` and the last ``step``."""
        found: dict[str, float] = {}
        for at, name in enumerate(self.names):
            values = sample.arrays[PAST][:, at].astype(np.float64)
            found[f"{name}.mean"], found[f"{name}.spread"] = float(values.mean()), float(values.std())
            if len(values) > 1:
                found[f"{name}.step"] = float(values[-1] - values[-2])
        return found

    def is_list(self, item: Any) -> bool:
        """Lists and tuples are several series."""
        return isinstance(item, (list, tuple))

    def encode(self, source: Any) -> bytes:
        """The window as CSV."""
        table: Table = source
        return table.to_csv(self.time)

    def contents(self, item: Any) -> bytes:
        """As CSV, but files as they are."""
        if isinstance(item, (str, os.PathLike, bytes)):
            return super().contents(item)
        return read_table(item, self.time, self.names).to_csv(self.time)

    def row(self, given: Mapping[str, Any]) -> Table:
        """One new row: the time, the target, and the other columns.

        Raises:
            InputError: A column is missing, or is no number.
        """
        cells = {name: [value] for name, value in given.items()} if isinstance(given, Mapping) else given
        row = read_table(cells, self.time, self.names)
        for name, values in row.columns.items():
            if not np.isfinite(values).all():
                raise InputError(f"Row {row.times[0]}", got=f"{values[0]} in {name!r}",
                                 expected="a number", fix="Leave the row out, or correct it.")  # fmt: skip
        return row

    def _require_known(self, found: Table, short: int) -> None:
        for name in self.known:
            missing = short + int(np.isnan(found.columns[name][self.context :]).sum())
            if missing:
                raise InputError(
                    f"Series, column {name!r}",
                    got=f"{self.horizon - missing} of {self.horizon} future rows",
                    expected="a number for every row of the horizon",
                    fix=f"Append rows with {self.time!r} and {name!r}, and a blank {self.target!r}.",
                )


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.input.{name}", got=repr(value), expected=expected, fix="Correct the spec.")
