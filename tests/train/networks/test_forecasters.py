"""Forecasting networks: an untrained one is seasonal naive, quantiles are in order, steps equal the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from train.networks import lstm_forecaster, tft
from train.networks.series_blocks import ScaledForecaster, SeriesShape

CONTEXT, HORIZON, SEASON, PATCH = 24, 6, 8, 8
EXACT = 1e-5
"""The same sums in another order."""


def _lstm(**changes: Any) -> ScaledForecaster:
    arguments = {"past_columns": 3, "future_columns": 2, "hidden": 8, "patch": PATCH, **_shared(), **changes}
    return lstm_forecaster.build(**arguments).eval()  # type: ignore[return-value]


def _tft(**changes: Any) -> ScaledForecaster:
    arguments = {"past_groups": [1, 2], "future_groups": [2], "hidden": 8, "heads": 2, "patch": PATCH}
    return tft.build(**{**arguments, **_shared(), **changes}).eval()  # type: ignore[arg-type,return-value]


def _shared() -> dict[str, Any]:
    return {"context": CONTEXT, "horizon": HORIZON, "levels": 3, "season": SEASON, "dropout": 0.0}


@pytest.fixture(params=[_lstm, _tft], ids=["lstm", "tft"])
def network(request: pytest.FixtureRequest) -> ScaledForecaster:
    torch.manual_seed(0)
    made: ScaledForecaster = request.param()
    scale = torch.tensor([50.0, 2.0, 1.0])
    made.scale_by((torch.tensor([400.0, 1.0, 0.0]), scale), (torch.zeros(2), torch.ones(2)))
    return made


def _rows(count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    past = torch.randn(count, CONTEXT, 3, generator=generator)
    past[..., 0] = 400 + 50 * past[..., 0]
    return past, torch.randn(count, HORIZON, 2, generator=generator)


def _trained(network: nn.Module) -> nn.Module:
    """With weights in every layer: heads start at zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return network


def _quantiles(given: Any) -> Tensor:
    return given[0] if isinstance(given, tuple) else given


def test_untrained_median_is_the_value_one_season_before(network: ScaledForecaster) -> None:
    past, future = _rows()
    with torch.no_grad():
        network.head.linear.bias.zero_()  # type: ignore[operator,union-attr]
        quantiles = _quantiles(network(past, future))
    expected = past[:, CONTEXT - SEASON : CONTEXT - SEASON + HORIZON, 0]
    torch.testing.assert_close(quantiles[..., 1], expected, rtol=1e-5, atol=1e-3)


def test_a_horizon_longer_than_the_season_repeats_it() -> None:
    network = _lstm(horizon=20)
    past, _ = _rows()
    with torch.no_grad():
        network.head.linear.bias.zero_()  # type: ignore[operator,union-attr]
        quantiles = _quantiles(network(past, torch.zeros(4, 20, 2)))
    last = past[:, -SEASON:, 0]
    torch.testing.assert_close(quantiles[..., 1], torch.cat([last] * 3, dim=1)[:, :20], rtol=1e-5, atol=1e-3)


def test_quantiles_never_cross(network: ScaledForecaster) -> None:
    with torch.no_grad():
        quantiles = _quantiles(_trained(network)(*_rows(32)))
    assert (quantiles.diff(dim=-1) > 0).all()


def test_items_of_a_batch_do_not_meet(network: ScaledForecaster) -> None:
    past, future = _rows()
    with torch.no_grad():
        whole = _quantiles(_trained(network)(past, future))
        alone = torch.cat([_quantiles(network(past[at : at + 1], future[at : at + 1])) for at in range(4)])
    torch.testing.assert_close(whole, alone, rtol=EXACT, atol=1e-2 * EXACT * 400)


def test_every_column_and_the_future_matter(network: ScaledForecaster) -> None:
    _trained(network)
    past, future = (rows.requires_grad_() for rows in _rows())
    _quantiles(network(past, future)).sum().backward()
    assert past.grad is not None
    assert future.grad is not None
    assert (past.grad.abs().sum(dim=(0, 1)) > 0).all()
    assert (future.grad.abs().sum(dim=(0, 1)) > 0).all()


def test_steps_with_carried_state_lead_to_the_forecast_of_the_whole() -> None:
    network = _trained(_lstm(layers=2))
    past, future = _rows()
    hidden = cell = torch.zeros(4, 2, 8)
    with torch.no_grad():
        for step in range(CONTEXT // PATCH):
            seen = torch.zeros_like(past)
            seen[:, CONTEXT - (step + 1) * PATCH :] = past[:, : (step + 1) * PATCH]
            quantiles, hidden, cell = network.step(seen, future, hidden, cell)  # type: ignore[operator]
        torch.testing.assert_close(quantiles, network(past, future), rtol=EXACT, atol=1e-3)


def test_attention_is_shared_out_and_never_looks_ahead() -> None:
    network = _trained(_tft())
    with torch.no_grad():
        _, attention, variables = network(*_rows())
    steps = CONTEXT // PATCH
    assert attention.shape == (4, HORIZON, steps + HORIZON)
    torch.testing.assert_close(attention.sum(dim=-1), torch.ones(4, HORIZON))
    ahead = torch.ones(HORIZON, HORIZON).triu(1).bool()
    assert (attention[:, :, steps:][:, ahead] == 0).all()
    assert (attention[:, :, :steps] > 0).all()
    torch.testing.assert_close(variables[:, :2].sum(dim=-1), torch.ones(4))
    torch.testing.assert_close(variables[:, 2:].sum(dim=-1), torch.ones(4))


def test_scalers_are_saved_with_the_weights(network: ScaledForecaster) -> None:
    assert float(network.state_dict()["past_scaler.mean"][0]) == 400


@pytest.mark.parametrize(
    "build",
    [lambda: _lstm(patch=7), lambda: _tft(hidden=9), lambda: SeriesShape(1, 1, 8, 2, 2, 4)],
    ids=["patch", "heads", "levels"],
)
def test_shapes_that_do_not_fit_are_refused(build: Any) -> None:
    with pytest.raises(ValueError):
        build()
