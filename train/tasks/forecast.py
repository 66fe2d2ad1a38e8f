"""Task ``forecast``: what a series will do, with how sure that is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, DataError
from sdk.artifact import Metric
from sdk.inputs.calendar_features import CALENDAR, DAY_S
from sdk.inputs.series import SeriesInput
from sdk.inputs.series_table import column_names, read_table, step_seconds
from sdk.outputs.forecast import QUANTILES, ForecastOutput
from sdk.spec import Spec
from train.data.series_csv import Division, SeriesData, require_file, season_of
from train.forecast_metrics import forecast_metrics, medians
from train.options import TrainOptions, require, wrong_pair
from train.start import read_checkpoint
from train.tasks.base import Fold, Report, Split, Splits, Task
from train.tasks.forecast_arguments import add_forecast_arguments

if TYPE_CHECKING:
    from train.plan import Plan

LSTM, TFT = "lstm_forecaster", "tft"
FACT, SPREAD_FACT = "division", "spread"
"""Facts of a checkpoint: how its run divided the series, and how its intervals were fitted."""
CONTEXT_HORIZONS = 14
SAME_SHARE = 0.01
"""Two forecasts agree when their medians are this close on average, as a share of their mean size."""


@dataclass(frozen=True)
class ForecastOptions:
    """Options of task ``forecast``.

    Attributes:
        time: Column with the times; None is the first.
        target: Column that is forecast; None is the only other one.
        past: Further columns that are known up to the present.
        known: Further columns that are known for the horizon too.
        calendar: Keys of `CALENDAR`, or ``none``; None is what can matter at the series' step.
        unit: Of the target.
        fill: Most rows or numbers missing in a row that take the last value before them.
        horizon: Rows that are forecast; None is a season.
        context: Rows of the past; None is `CONTEXT_HORIZONS` times the horizon.
        quantiles: Levels, symmetric around 0.5.
        stride: See `Division`.
        eval_stride: See `Division`.
        val_rows: See `Division`.
        test_rows: See `Division`.
        season: Rows after which the series resembles itself; None is a day, of days a week.
        patch: Rows per step of the LSTM; None is the season.
        hidden: Width of the network; None is its own.
        layers: Of the LSTM forecaster.
        dropout: Share of features that are left out while training.
        spread: ``fitted`` or ``none``: whether intervals are calibrated on the validation rows.
    """

    time: str | None = None
    target: str | None = None
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    calendar: tuple[str, ...] | None = None
    unit: str = ""
    fill: int = 0
    horizon: int | None = None
    context: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    stride: int = 1
    eval_stride: int | None = None
    val_rows: int | None = None
    test_rows: int | None = None
    season: int | None = None
    patch: int | None = None
    hidden: int | None = None
    layers: int = 1
    dropout: float = 0.1
    spread: str = "fitted"

    def __post_init__(self) -> None:
        for name in (
            "horizon",
            "context",
            "stride",
            "eval_stride",
            "val_rows",
            "season",
            "patch",
            "hidden",
            "layers",
        ):
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, value is None or value >= 1, "at least 1")
        require("--layers", self.layers, self.layers >= 1, "at least 1")
        require("--fill", self.fill, self.fill >= 0, "at least 0")
        require("--test-rows", self.test_rows, self.test_rows is None or self.test_rows >= 0, "at least 0")
        require("--dropout", self.dropout, 0 <= self.dropout < 1, "from 0 to below 1")
        levels = self.quantiles
        mirrored = all(abs(a + b - 1) < 1e-9 for a, b in zip(levels, levels[::-1], strict=True))
        rising = all(a < b for a, b in pairwise(levels))
        require("--quantiles", levels, mirrored and rising and 0.5 in levels and levels[0] > 0,
                "rising levels, 0.5 among them and each with its mirror, such as 0.1 0.5 0.9")  # fmt: skip
        if self.calendar is not None and "none" in self.calendar and len(self.calendar) > 1:
            raise wrong_pair("--calendar", "none with others", "none alone", "Leave none out.")

    @property
    def division(self) -> Division:
        """How the series is divided."""
        return Division(self.val_rows, self.test_rows, self.stride, self.eval_stride)


class ForecastTask(Task):
    """Forecasts of one series.

    Args:
        division: How a series is divided; None is the default.
    """

    name: ClassVar[str] = "forecast"
    summary: ClassVar[str] = "forecast a series of numbers over time, with intervals"
    data_help: ClassVar[str] = "CSV file with a header: times in equal steps, and columns of numbers"
    metric: ClassVar[str] = "mae"
    mode: ClassVar[str] = "min"
    models: ClassVar[tuple[str, ...]] = (LSTM, TFT)
    options_type: ClassVar[type[Any]] = ForecastOptions

    def __init__(self, division: Division | None = None) -> None:
        self._division = division or Division()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `ForecastOptions`."""
        add_forecast_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: ForecastOptions) -> dict[str, Any]:
        """Small networks and short windows: large batches, and few epochs of many windows."""
        del task_options
        model = given.get("model", LSTM)
        rate = 1e-3 if given.get("start") is None else 2e-4
        return {"model": model, "epochs": 10, "batch_size": 128, "lr": rate, "clip_norm": 1.0}

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what a forecast cannot honour."""
        if options.model not in self.models:
            raise wrong_pair("--model", f"{options.model} for forecasts", f"one of {', '.join(self.models)}",
                             "Choose one of them.")  # fmt: skip
        own: ForecastOptions = options.task_options
        plain = ForecastOptions()
        if options.start is not None:
            for name in ("time", "target", "past", "known", "calendar", "horizon", "context", "quantiles",
                         "season", "patch", "hidden", "layers"):  # fmt: skip
                if getattr(own, name) != getattr(plain, name):
                    raise wrong_pair(f"--from and --{name}", "both", "one of them",
                                     "The checkpoint says how series are fed and read.")  # fmt: skip
        return options

    def search_space(self, options: TrainOptions) -> dict[str, str]:
        """Rate, decay and batch size; and how much is left out while training."""
        return {**super().search_space(options), "dropout": "0..0.4"}

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """The windows of one part; see `Task.load_split`. Without a spec, as training does by default."""
        series = plan_input(Path(data), ForecastOptions()) if spec is None else _series_of(spec)
        return SeriesData(Path(data), series, self._division).split(split)

    def in_fold(self, fold: Fold) -> ForecastTask:
        """Blocks of time: a fold learns from what came before the block that it holds out."""
        return ForecastTask(replace(self._division, fold=tuple(fold)))

    def proof_split(self, data: Path) -> str:
        """``test`` unless no rows are held out for it."""
        del data
        return "val" if self._division.test_rows == 0 else "test"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """MAE with its interval, RMSE, sMAPE, MASE and coverage; see `train.forecast_metrics`."""
        return forecast_metrics(results, list(split.targets), split.name) if len(split.targets) else ()

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of forecasts whose medians are within `SAME_SHARE` of each other."""
        ours, theirs = medians(results), medians(others)
        size = np.maximum(np.abs(theirs).mean(axis=1), np.finfo(np.float32).tiny)
        return float((np.abs(ours - theirs).mean(axis=1) <= SAME_SHARE * size).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Against seasonal naive forecasts, by row of the horizon, and some forecasts as a picture."""
        from train.forecast_report import make_forecast_report

        return make_forecast_report(results, split) if len(split.targets) else Report({})

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.forecast_plan import make_forecast_plan

        own: ForecastOptions = options.task_options
        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        series = plan_input(options.data, own) if start is None else _series_of(start.spec)
        division = replace(own.division, fold=self._division.fold)
        data = SeriesData(options.data, series, division)
        train, val = data.split("train"), data.split("val")
        splits = Splits(train, val, data.split("test") if data.has_test else val)
        plan = make_forecast_plan(self.name, data, options, splits, start)
        facts: dict[str, Any] = {FACT: asdict(division)}
        if own.spread == "none":
            facts[SPREAD_FACT] = None
        return replace(plan, facts={**plan.facts, **facts})

    def calibrated(self, plan: Plan, raw_outputs: Callable[[Split], Mapping[str, Array]]) -> Plan:
        """With the spread at which intervals cover the validation rows as often as they say."""
        from train.spread import fit_spread

        output = plan.spec.output
        assert isinstance(output, ForecastOutput)
        if SPREAD_FACT in plan.facts or len(output.levels) < 2:
            return plan
        val = plan.splits.val
        truth = np.stack([truth.values for truth in val.targets])
        spread = fit_spread(raw_outputs(val)[QUANTILES][0], truth, output.levels)
        facts = {**plan.facts, SPREAD_FACT: {"split": "val", "rows": int(truth.size)}}
        return replace(plan, spec=replace(plan.spec, output=replace(output, spread=spread)), facts=facts)

    def as_trained(self, facts: Mapping[str, Any]) -> ForecastTask:
        """With the series divided as in the checkpoint's run."""
        return ForecastTask(Division(**facts[FACT])) if FACT in facts else self


def plan_input(data: Path, own: ForecastOptions) -> SeriesInput:
    """How a series is fed: as the options say, else as its columns and its step suggest.

    Raises:
        DataError: The columns do not tell which of them is meant.
        InputError: The file cannot be read.
    """
    names = column_names(require_file(data))
    time = own.time or names[0]
    target = own.target or _only(names, {time, *own.past, *own.known}, data)
    # Times alone here: what else is wrong with the rows is said when they are read.
    step = step_seconds(read_table(require_file(data), time, (target,)))
    season = own.season or season_of(step)
    horizon = own.horizon or season
    calendar = own.calendar if own.calendar is not None else _default_calendar(step)
    return SeriesInput(
        time=time,
        target=target,
        past=own.past,
        known=own.known,
        calendar=tuple(name for name in CALENDAR if name in calendar),
        context=own.context or CONTEXT_HORIZONS * max(horizon, season),
        horizon=horizon,
        step_s=step,
        fill_rows=own.fill,
    )


def _only(names: Sequence[str], taken: set[str], data: Path) -> str:
    left = [name for name in names if name not in taken]
    if len(left) != 1:
        raise DataError(f"Series {data.name!r}", got=f"columns {', '.join(map(repr, names))}",
                        expected="one to forecast beside the time", fix="Say --target NAME.")  # fmt: skip
    return left[0]


def _default_calendar(step_s: int) -> tuple[str, ...]:
    """What can matter, but of short steps not the season: of few years, a network learns dates by heart."""
    if step_s < DAY_S:
        return ("hour", "weekday")
    return ("weekday", "year") if step_s == DAY_S else ("year",)


def _series_of(spec: Spec) -> SeriesInput:
    assert isinstance(spec.input, SeriesInput)
    return spec.input
