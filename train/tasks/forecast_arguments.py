"""Command-line options of task ``forecast``. Their defaults live in `ForecastOptions`."""

from __future__ import annotations

import argparse
from typing import Any

_CALENDAR = ("hour", "weekday", "year", "none")


def add_forecast_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ForecastOptions`; each default is None: not given."""
    _add_columns(parser.add_argument_group("columns"))
    _add_window(parser.add_argument_group("windows"))
    _add_network(parser.add_argument_group("network"))


def _add_columns(group: Any) -> None:
    group.add_argument("--time", metavar="NAME", help="column with the times. Default: the first one")
    group.add_argument("--target", metavar="NAME", help="column to forecast. Default: the only other one")
    group.add_argument("--past", nargs="+", metavar="NAME", help="further columns, known up to the present")
    group.add_argument(
        "--known", nargs="+", metavar="NAME", help="further columns, known for the horizon too"
    )
    group.add_argument("--calendar", nargs="+", choices=_CALENDAR,
                       help="what is computed from the times. Default: by the series' step")  # fmt: skip
    group.add_argument("--unit", metavar="TEXT", help="of the target, for people, such as kWh")
    group.add_argument("--fill", type=int, metavar="N",
                       help="up to N rows or numbers missing in a row take the last value before them. "
                       "Default: 0, which refuses")  # fmt: skip


def _add_window(group: Any) -> None:
    group.add_argument(
        "--horizon", type=int, metavar="N", help="rows to forecast. Default: a day, of days a week"
    )
    group.add_argument("--context", type=int, metavar="N", help="rows to look back on. Default: 14 horizons")
    group.add_argument("--quantiles", nargs="+", type=float, metavar="Q",
                       help="levels, symmetric around 0.5. Default: 0.1 0.5 0.9")  # fmt: skip
    group.add_argument(
        "--stride", type=int, metavar="N", help="rows from one training window to the next. Default: 1"
    )
    group.add_argument("--eval-stride", type=int, metavar="N",
                       help="likewise of validation and test. Default: the horizon")  # fmt: skip
    group.add_argument(
        "--val-rows", type=int, metavar="N", help="rows that choose the epoch. Default: a tenth"
    )
    group.add_argument("--test-rows", type=int, metavar="N",
                       help="last rows, held out to judge; 0 for none. Default: a fifth")  # fmt: skip


def _add_network(group: Any) -> None:
    group.add_argument("--season", type=int, metavar="N",
                       help="after so many rows it resembles itself. Default: a day, or a week")  # fmt: skip
    group.add_argument("--patch", type=int, metavar="N",
                       help="rows per step of the LSTM; divides --context. Default: --season")  # fmt: skip
    group.add_argument(
        "--hidden", type=int, metavar="N", help="width. Default: 128 for the LSTM, 48 for the TFT"
    )
    group.add_argument("--layers", type=int, metavar="N", help="of lstm_forecaster. Default: 1")
    group.add_argument("--dropout", type=float, metavar="P", help="default: 0.1")
    group.add_argument("--spread", choices=("fitted", "none"),
                       help="fitted: intervals are changed until they cover the validation rows as "
                       "often as they say. Default: fitted")  # fmt: skip
