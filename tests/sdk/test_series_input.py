"""Series as input: reading, rules for rows, windows, calendar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import InputError, SpecError
from sdk.inputs.calendar_features import calendar_columns, calendar_features
from sdk.inputs.series_table import Table, read_table, regular, step_seconds
from tests.hourly_series import HOUR_S, hourly_table, series_input, write_series


def _load(table: Table, **changes: object) -> Any:
    return series_input(**changes).load(table)


def _changed(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Table:
    table = hourly_table(60)
    times, load = change(table.times.copy(), table.columns["load"].copy())
    return Table(times, {"load": load})


def _swapped(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times[[30, 31]] = times[[31, 30]]
    return times, load


def _doubled(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times[31:] -= np.timedelta64(HOUR_S, "s")
    return times, load


def _gap(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.delete(times, [30, 31]), np.delete(load, [30, 31])


def _off_grid(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times[30:] += np.timedelta64(60, "s")
    return times, load


def _hole(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    load[[30, 31]] = np.nan
    return times, load


def _infinite(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    load[30] = np.inf
    return times, load


def _short(times: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return times[:47], load[:47]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swapped, "row 32 .*before that of the row above.*Sort"),
        (_doubled, "row 32 .*there twice.*each time once"),
        (_gap, "row 30 .*2 rows missing behind it.*every 3600 s.*--fill"),
        (_off_grid, "row 31 .*3660 s after the one above.*multiples of 3600 s"),
        (_hole, "row 31 .*no number in 'load'.*--fill"),
        (_infinite, "row 31 .*infinity in 'load'"),
        (_short, "47 rows with 'load'.*at least 48"),
    ],
    ids=["unsorted", "duplicate", "gap", "off-grid", "nan", "infinity", "short"],
)
def test_rows_that_are_not_regular_are_refused_in_one_line(change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        _load(_changed(change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", [_gap, _hole], ids=["rows", "numbers"])
def test_small_holes_take_the_value_before_them_where_the_spec_says_so(change: Any) -> None:
    whole = hourly_table(60).columns["load"]
    sample = _load(_changed(change), fill_rows=2)
    expected = whole[12:60].copy()
    expected[[18, 19]] = whole[29]
    np.testing.assert_allclose(sample.arrays["past"][:, 0], expected, rtol=1e-6)
    with pytest.raises(InputError, match="--fill"):
        _load(_changed(change), fill_rows=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "columns none|no rows"),
        (b"time,load\n", "no rows"),
        (b"time,load\n2024-01-01,1,2\n", "line 2.*3 cells.*2, as in the header"),
        (b"time,load\n2024-01-01,cheap\n", "column 'load', row 1.*'cheap'.*a number"),
        (b"time,load\n01/02/2024,1\n", "column 'time', row 1.*'01/02/2024'.*ISO 8601"),
        (b"time,load\n2024-01-01 00:00:00+02:00,1\n", "without an offset from UTC"),
        (b"time,load\n2024-13-01,1\n", "column 'time'.*ISO 8601"),
        (b"time,price\n2024-01-01,1\n", "'price'.*a column 'load'"),
        (b"time,load\n\xff\xfe,1\n", "no UTF-8"),
    ],
    ids=["empty", "header", "cells", "word", "us-date", "offset", "month", "column", "utf8"],
)
def test_files_that_cannot_be_read_are_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_table(content, "time", ("load",))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'absent\.csv'.*no such file"):
        read_table(tmp_path / "absent.csv", "time", ("load",))


def test_files_bytes_mappings_and_data_frames_are_one_series(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = write_series(tmp_path / "load.csv", 60)
    table = read_table(path, "time", ("load",))
    mapping = {"time": [str(moment) for moment in table.times], "load": table.columns["load"].tolist()}
    frame = pandas.DataFrame({"time": table.times, "load": table.columns["load"]})
    semicolons = path.read_bytes().replace(b",", b";")
    for item in (path, path.read_bytes(), semicolons, mapping, frame, table):
        found = series_input().load(item)
        np.testing.assert_array_equal(found.arrays["past"], series_input().load(table).arrays["past"])
        np.testing.assert_array_equal(found.arrays["future"], series_input().load(table).arrays["future"])


def test_window_is_the_last_rows_with_a_target_and_what_is_known_behind_them() -> None:
    table = hourly_table(60)
    table.columns["load"][52:] = np.nan
    sample = _load(table, known=("warm",))
    past, future = sample.arrays["past"], sample.arrays["future"]
    assert past.dtype == future.dtype == np.float32
    np.testing.assert_allclose(past[:, 0], table.columns["load"][4:52], rtol=1e-6)
    np.testing.assert_allclose(past[:, 1], table.columns["warm"][4:52], rtol=1e-6)
    np.testing.assert_allclose(future[:, 0], np.arange(1, 7) / 6)
    np.testing.assert_allclose(future[:, 1], table.columns["warm"][52:58], rtol=1e-6)
    assert past.shape == (48, len(series_input(known=("warm",)).past_columns))
    assert sample.geometry["start_s"] == table.times[52].astype(np.int64)


def test_known_columns_must_reach_to_the_end_of_the_horizon() -> None:
    table = hourly_table(60)
    table.columns["load"][55:] = np.nan
    with pytest.raises(InputError, match="'warm'.*5 of 6 future rows.*Append rows"):
        _load(table, known=("warm",))


def test_future_times_are_made_where_no_rows_are() -> None:
    sample = _load(hourly_table(50))
    assert str(sample.source.times[-1]) == "2024-01-03T07:00:00"
    np.testing.assert_allclose(sample.arrays["future"][:, 0], np.arange(1, 7) / 6)


def test_what_is_encoded_loads_as_the_same_arrays() -> None:
    series = series_input(known=("warm",))
    table = hourly_table(60)
    table.columns["load"][52:] = np.nan
    first = series.load(table)
    again = series.load(series.encode(first.source))
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_contents_tell_windows_apart(tmp_path: Path) -> None:
    series, path = series_input(), write_series(tmp_path / "load.csv", 60)
    assert series.contents(path) == path.read_bytes()
    first, second = (series.contents(hourly_table(rows)) for rows in (60, 61))
    assert first == series.contents(hourly_table(60)) != second


def test_batch_puts_windows_on_a_first_axis() -> None:
    series = series_input()
    samples = [series.load(hourly_table(rows)) for rows in (60, 50)]
    arrays = series.batch(samples, ())
    assert {name: array.shape for name, array in arrays.items()} == {
        "past": (2, 48, 12),
        "future": (2, 6, 12),
    }
    assert series.is_list([hourly_table(60)])
    assert not series.is_list(hourly_table(60))


def test_calendar_says_the_hour_the_weekday_and_the_season() -> None:
    times = np.array(["2024-01-01T06:00:00", "2024-07-07T18:00:00"], "datetime64[s]")  # Monday, Sunday
    features = ("hour", "weekday", "year")
    columns = calendar_columns(features)
    rows = [dict(zip(columns, row, strict=True)) for row in calendar_features(times, features).tolist()]
    assert rows[0]["hour sin"] == pytest.approx(1)
    assert rows[1]["hour sin"] == pytest.approx(-1)
    assert [rows[0]["Monday"], rows[0]["Sunday"]] == [1, 0]
    assert [rows[1]["Monday"], rows[1]["Sunday"]] == [0, 1]
    assert rows[0]["year cos"] > 0.9
    assert rows[1]["year cos"] < -0.9
    assert calendar_features(times, ()).shape == (2, 0)


def test_step_is_the_most_common_distance() -> None:
    assert step_seconds(_changed(_gap)) == HOUR_S
    with pytest.raises(InputError, match="1 rows"):
        step_seconds(hourly_table(1))


def test_regular_leaves_the_future_blank() -> None:
    table = hourly_table(60)
    table.columns["load"][52:] = np.nan
    assert np.isnan(regular(table, HOUR_S, 3, "load").columns["load"][52:]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "time"}, "different columns"),
        ({"horizon": 0}, "horizon"),
        ({"calendar": ("moon",)}, "moon"),
    ],
    ids=["same-column", "horizon", "calendar"],
)
def test_specs_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        series_input(**changes)
