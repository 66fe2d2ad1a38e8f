"""Network, loss and windows for one run of task ``forecast``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runtimes import MAIN_GRAPH, Dim, TensorInfo, UsageError
from runtimes.torch_runtime import build_network, load_network
from sdk.artifact import Artifact
from sdk.inputs.calendar_features import CALENDAR
from sdk.inputs.series import AHEAD, FUTURE, PAST, SeriesInput
from sdk.outputs.forecast import ATTENTION, QUANTILES, VARIABLES, ForecastOutput
from sdk.outputs.forecast_follower import CELL, HIDDEN, NEXT_CELL, NEXT_HIDDEN, STEP
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from train.data.series_csv import SeriesData, season_of
from train.data.series_train_set import SeriesTrainSet, fit_scale
from train.networks.freezing import ParameterGroup
from train.networks.series_blocks import ScaledForecaster
from train.options import TrainOptions
from train.plan import Plan
from train.start import inherited_facts
from train.tasks.base import Splits
from train.tasks.forecast import LSTM, TFT, ForecastOptions

DEFAULT_HIDDEN = {LSTM: 128, TFT: 48}
TFT_HEADS = 4


def make_forecast_plan(
    task: str, data: SeriesData, options: TrainOptions, splits: Splits, start: Artifact | None
) -> Plan:
    """Put one run together.

    Args:
        task: Name of the task; also that of the spec.
        data: The series.
        options: Of the run.
        splits: Its parts.
        start: Checkpoint whose spec and weights, the scaler among them, are taken as they are.

    Raises:
        UsageError: The network cannot be built.
    """
    train_set = SeriesTrainSet(data)
    if start is None:
        spec = _spec(task, data.series, options)
        network = build_network({"name": spec.network.name, "arguments": spec.network.arguments})
        fit_scalers(network, data.series, train_set)
    else:
        spec, network = start.spec, load_network(start.program())
    levels = spec.output.levels  # type: ignore[attr-defined]
    loss = QuantileLoss(levels, float(network.past_scaler.scale[0]))
    return Plan(
        spec=spec,
        network=network,
        groups=[ParameterGroup("all", tuple(network.parameters()), 1.0)],
        train_set=train_set,
        weights=None,
        loss=_TrainingLoss(loss),
        validation_loss=_ValidationLoss(loss),
        splits=splits,
        parent_sha256=None if start is None else start.manifest.payload_sha256,
        facts={} if start is None else inherited_facts(start, keep_zeros=options.keep_zeros),
    )


class QuantileLoss:
    """The pinball loss, mean over levels, in deviations of the target (Koenker & Bassett 1978).

    Args:
        levels: Of the quantiles.
        scale: The target's deviation.
    """

    def __init__(self, levels: Sequence[float], scale: float) -> None:
        self._levels = torch.tensor(levels)
        self._scale = scale

    def __call__(self, quantiles: Tensor, truth: Tensor) -> Tensor:
        """Quantiles (N, H, levels) against what came (N, H)."""
        levels = self._levels.to(quantiles.device)
        apart = (truth[..., None] - quantiles.float()) / self._scale
        return torch.maximum(levels * apart, (levels - 1) * apart).mean()

    def median_error(self, quantiles: Tensor, truth: Tensor) -> Tensor:
        """Mean absolute error of the median, in the target's unit."""
        return (quantiles[..., len(self._levels) // 2].float() - truth).abs().mean()


class _TrainingLoss:
    """Loss and error of a training batch."""

    def __init__(self, loss: QuantileLoss) -> None:
        self._loss = loss

    def __call__(self, network: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        past, future, truth = batch
        given = network(past, future)
        quantiles = given[0] if isinstance(given, tuple) else given
        return {
            "loss": self._loss(quantiles, truth),
            "mae": self._loss.median_error(quantiles.detach(), truth),
        }


class _ValidationLoss:
    """Loss of a validation batch from its raw outputs."""

    def __init__(self, loss: QuantileLoss) -> None:
        self._loss = loss

    def __call__(self, outputs: Mapping[str, Tensor], targets: Sequence[Any]) -> Tensor:
        quantiles = outputs[QUANTILES]
        truth = np.stack([target.values for target in targets]).astype(np.float32)
        return self._loss(quantiles, torch.from_numpy(truth).to(quantiles.device))


def fit_scalers(network: ScaledForecaster, series: SeriesInput, train_set: SeriesTrainSet) -> None:
    """Scale by the training rows: those of validation and test must not be known."""
    mean, scale = fit_scale(train_set.past, len(series.names))
    known = slice(len(series.names) - len(series.known), None)  # known columns, then the calendar's
    ahead = np.zeros(1, np.float32), np.ones(1, np.float32)
    future = [np.concatenate(pair) for pair in ((ahead[0], mean[known]), (ahead[1], scale[known]))]
    network.scale_by(
        (torch.from_numpy(mean), torch.from_numpy(scale)),
        (torch.from_numpy(future[0]), torch.from_numpy(future[1])),
    )


def _spec(task: str, series: SeriesInput, options: TrainOptions) -> Spec:
    own: ForecastOptions = options.task_options
    arguments = _network_arguments(series, options)
    past_names, future_names = _variables(series)
    attends = options.model == TFT
    output = ForecastOutput(
        target=series.target,
        unit=own.unit,
        levels=own.quantiles,
        spread=(1.0,) * len(own.quantiles),
        variables=(*past_names, *future_names, "known: earlier seasons") if attends else (),
        parts=series.context // arguments["patch"] if attends else 0,
    )
    return Spec(
        version=SPEC_VERSION,
        name=task,
        task=task,
        input=series,
        output=output,
        graphs=_graphs(series, output, arguments),
        baked=(),
        network=Network(options.model, arguments),
    )


def _graphs(series: SeriesInput, output: ForecastOutput, arguments: Mapping[str, Any]) -> tuple[Graph, ...]:
    """What forecasts from a window, and for the LSTM what forecasts from one more row and its state."""
    inputs = (
        TensorInfo(PAST, "float32", (Dim(), series.context, len(series.past_columns))),
        TensorInfo(FUTURE, "float32", (Dim(), series.horizon, len(series.future_columns))),
    )
    quantiles = TensorInfo(QUANTILES, "float32", (Dim(), series.horizon, len(output.levels)))
    if output.parts:
        more = (
            TensorInfo(ATTENTION, "float32", (Dim(), series.horizon, output.parts + series.horizon)),
            TensorInfo(VARIABLES, "float32", (Dim(), len(output.variables))),
        )
        return (Graph(MAIN_GRAPH, inputs, (quantiles, *more)),)
    shape = (Dim(), arguments["layers"], arguments["hidden"])
    state = [TensorInfo(name, "float32", shape) for name in (HIDDEN, CELL, NEXT_HIDDEN, NEXT_CELL)]
    step = Graph(STEP, (*inputs, *state[:2]), (quantiles, *state[2:]))
    return Graph(MAIN_GRAPH, inputs, (quantiles,)), step


def _variables(series: SeriesInput) -> tuple[dict[str, int], dict[str, int]]:
    """Columns of each variable of the past, and of those known of the horizon, by name."""
    calendar = {name: len(CALENDAR[name]) for name in series.calendar}
    past = {**dict.fromkeys(series.names, 1), **calendar}
    known = {AHEAD: 1, **dict.fromkeys(series.known, 1), **calendar}
    return ({f"past: {name}": size for name, size in past.items()},
            {f"known: {name}": size for name, size in known.items()})  # fmt: skip


def _network_arguments(series: SeriesInput, options: TrainOptions) -> dict[str, Any]:
    own: ForecastOptions = options.task_options
    season = own.season or min(season_of(series.step_s), series.context)
    patch = own.patch or (season if series.context % season == 0 else 1)
    for name, value in (("--season", season), ("--patch", patch)):
        if value > series.context or (name == "--patch" and series.context % patch):
            raise UsageError(f"Option {name}", got=f"{value} in a context of {series.context} rows",
                             expected="one that divides it" if name == "--patch" else "a shorter one",
                             fix="Choose another --context.")  # fmt: skip
    hidden = own.hidden or DEFAULT_HIDDEN[options.model]
    shared = {
        "context": series.context,
        "horizon": series.horizon,
        "levels": len(own.quantiles),
        "season": season,
        "patch": patch,
        "hidden": hidden,
        "dropout": own.dropout,
    }
    if options.model == TFT:
        if hidden % TFT_HEADS:
            raise UsageError("Option --hidden", got=str(hidden), expected=f"a multiple of {TFT_HEADS}",
                             fix="Its heads share the width.")  # fmt: skip
        past, known = _variables(series)
        groups = {"past_groups": list(past.values()), "future_groups": list(known.values())}
        return {**groups, **shared, "heads": TFT_HEADS}
    columns = {"past_columns": len(series.past_columns), "future_columns": len(series.future_columns)}
    return {**columns, **shared, "layers": own.layers}
