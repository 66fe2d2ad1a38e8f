"""Forecasts of a series that grows row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes import Array, InputError, SpecError
from sdk.inputs.series import FUTURE, PAST, SeriesInput
from sdk.inputs.series_table import Table, read_table, regular
from sdk.spec import called_as

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.results.forecast import Forecast

STEP = "step"
"""Name of the graph that takes the newest rows and the state that earlier rows led to."""
HIDDEN, CELL, NEXT_HIDDEN, NEXT_CELL = "hidden", "cell", "next_hidden", "next_cell"
"""Names of its state, as it goes in and as it comes out."""


class ForecastFollower:
    """A series and its newest forecast.

    Where the artifact has a graph ``step``, its state is carried: a new row costs one step of the network and
    what happened before the context is not forgotten. The network reads `patch` rows in one step: there is a
    state for each of the `patch` places at which a patch can begin, and they take turns. Where there is no
    such graph, every forecast is made of the last `context` rows alone.

    Args:
        predictor: Of the artifact; must stay open.
        history: A series, as `Predictor.predict` takes it.

    Raises:
        InputError: The history cannot be used.
    """

    def __init__(self, predictor: Predictor, history: Any) -> None:
        series = predictor.spec.input
        if not isinstance(series, SeriesInput):
            raise SpecError("spec.input.kind", got=repr(series.kind), expected=repr(SeriesInput.kind),
                            fix="Correct the spec.")  # fmt: skip
        self._predictor, self._series = predictor, series
        table = read_table(history, series.time, series.names)
        table = regular(table, series.step_s, series.fill_rows, series.target)
        self._forecast: Forecast = predictor.predict(table)
        present = len(table) - int(np.isnan(table.columns[series.target][::-1]).cumprod().sum())
        self._state = _State(predictor, series, table.part(0, present)) if _has_step(predictor) else None
        self._rows = table.part(present - series.context, present)

    @property
    def forecast(self) -> Forecast:
        """The newest one."""
        return self._forecast

    def update(self, row: Mapping[str, Any], known: Mapping[str, Sequence[float]] | None = None) -> Forecast:
        """Take one new row, and forecast from there.

        Args:
            row: The time and every column's number; the time is the one behind the last row's. Up to the
                spec's `fill_rows` rows may be left out before it: they take the values of the last one.
            known: For each known column, `horizon` numbers: those of the rows to come.

        Raises:
            InputError: A column is missing, or the time is another.
        """
        new = self._series.row(row)
        ahead = self._ahead(new, known or {})
        for _ in range(self._missing_before(new)):
            last = self._rows.part(len(self._rows) - 1, len(self._rows))
            time = last.times + np.timedelta64(self._series.step_s, "s")
            self._advance(Table(time, last.columns), None)
        forecast = self._advance(new, ahead)
        assert forecast is not None
        self._forecast = forecast
        return forecast

    def _advance(self, row: Table, ahead: Table | None) -> Forecast | None:
        """Put a row at the end; with what is known of the horizon, forecast from there."""
        self._rows = _joined(self._rows.part(1, len(self._rows)), row)
        if ahead is None:
            if self._state is not None:
                self._state.advance(self._series.past_array(self._rows), None)
            return None
        window = _joined(self._rows, ahead)
        if self._state is None:
            forecast: Forecast = self._predictor.predict(window)
            return forecast
        sample = self._series.sample(window)
        outputs = self._state.advance(sample.arrays[PAST], sample.arrays[FUTURE])
        kind = self._predictor.spec.output
        (result,) = kind.read(kind.activate(outputs, ()), [sample])
        answer: Forecast = result
        return answer

    def _missing_before(self, new: Table) -> int:
        step, last = self._series.step_s, self._rows.times[-1]
        distance = int((new.times[0] - last).astype(np.int64))
        missing = distance // step - 1
        if distance < step or distance % step or missing > self._series.fill_rows:
            raise InputError(
                f"Row {new.times[0]}",
                got=f"a time {distance} s behind the last row's",
                expected=f"{last + np.timedelta64(step, 's')}",
                fix="Pass rows in order, one for each step.",
            )
        return missing

    def _ahead(self, new: Table, known: Mapping[str, Sequence[float]]) -> Table:
        series = self._series
        rows = 1 + np.arange(series.horizon)
        times = new.times[0] + rows * np.timedelta64(series.step_s, "s")
        columns: dict[str, Array] = {name: np.full(series.horizon, np.nan) for name in series.names}
        for name in series.known:
            values = np.asarray(known.get(name, ()), np.float64)
            if values.shape != (series.horizon,) or not np.isfinite(values).all():
                raise InputError(f"Known column {name!r}", got=f"numbers of shape {values.shape}",
                                 expected=f"{series.horizon} finite ones, for the rows to come",
                                 fix="Pass known={name: numbers}.")  # fmt: skip
            columns[name] = values
        return Table(times, columns)


class _State:
    """What the network remembers, for every place at which a patch can end.

    Slot ``t % patch`` is the state behind the patch whose last row is number t, counted from the present.
    """

    def __init__(self, predictor: Predictor, series: SeriesInput, known: Table) -> None:
        self._predictor, self._series = predictor, series
        graph = predictor.spec.variants(STEP)[0]
        shapes = {info.name: tuple(int(str(n)) for n in info.shape[1:]) for info in graph.inputs}
        self._patch = self._rows_per_step()
        self._state = {name: np.zeros((self._patch, *shapes[name]), np.float32) for name in (HIDDEN, CELL)}
        self._row = 0
        self._warm_up(known)

    def advance(self, past: Array, future: Array | None) -> dict[str, Array]:
        """One step from the state one patch ago; its outputs."""
        self._row += 1
        slots = [self._row % self._patch]
        if future is None:
            future = np.zeros((self._series.horizon, len(self._series.future_columns)), np.float32)
        return self._step(past[None], future[None], slots)

    def _warm_up(self, known: Table) -> None:
        """From no state through the rows of a context, for every slot; with fewer rows, through as many."""
        series, patch = self._series, self._patch
        steps = series.context // patch
        known = known.part(max(0, len(known) - series.context - patch + 1), len(known))
        rows = series.past_rows(known)
        for step in range(steps, 0, -1):
            slots = [at for at in range(patch) if (len(rows) - at) // patch >= step]
            past = np.zeros((len(slots), series.context, rows.shape[1]), np.float32)
            for row, back in enumerate(slots):
                start = len(rows) - back - step * patch
                past[row, -patch:] = rows[start : start + patch]
            future = np.zeros((len(slots), series.horizon, len(series.future_columns)), np.float32)
            most = self._predictor.batch_size
            for at in range(0, len(slots), most):
                part = slice(at, at + most)
                self._step(past[part], future[part], [-back % patch for back in slots[part]])

    def _step(self, past: Array, future: Array, slots: list[int]) -> dict[str, Array]:
        state = {name: np.ascontiguousarray(array[slots]) for name, array in self._state.items()}
        outputs = self._predictor.run({PAST: past, FUTURE: future, **state}, STEP)
        self._state[HIDDEN][slots], self._state[CELL][slots] = outputs[NEXT_HIDDEN], outputs[NEXT_CELL]
        return outputs

    def _rows_per_step(self) -> int:
        patch = self._predictor.spec.network.arguments.get("patch")
        if not isinstance(patch, int) or patch < 1:
            raise SpecError("spec.network.arguments.patch", got=repr(patch), expected="rows per step",
                            fix="Export the checkpoint again.")  # fmt: skip
        return patch


def _has_step(predictor: Predictor) -> bool:
    return any(called_as(graph.name) == STEP for graph in predictor.spec.graphs)


def _joined(first: Table, second: Table) -> Table:
    columns = {name: np.concatenate([values, second.columns[name]]) for name, values in first.columns.items()}
    return Table(np.concatenate([first.times, second.times]), columns)
