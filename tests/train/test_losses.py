"""Losses against cases worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses import LOSSES, focal_loss, make_loss
from train.tasks import image_arguments

# Softmax of these is 0.75 and 0.25.
LOGITS = torch.tensor([[math.log(3.0), 0.0]])


@pytest.mark.parametrize(("target", "p"), [(0, 0.75), (1, 0.25)])
def test_focal_loss_is_the_paper_formula(target: int, p: float) -> None:
    wanted = -((1 - p) ** 2) * math.log(p)
    assert focal_loss(LOGITS, torch.tensor([target])).item() == pytest.approx(wanted)


def test_focal_loss_with_gamma_zero_is_cross_entropy() -> None:
    logits, targets = torch.randn(8, 5), torch.arange(8) % 5
    torch.testing.assert_close(
        focal_loss(logits, targets, gamma=0.0), torch.nn.functional.cross_entropy(logits, targets)
    )


def test_focal_loss_is_the_mean_over_samples() -> None:
    both = focal_loss(LOGITS.repeat(2, 1), torch.tensor([0, 1])).item()
    singly = [focal_loss(LOGITS, torch.tensor([target])).item() for target in (0, 1)]
    assert both == pytest.approx(sum(singly) / 2)


def test_focal_loss_of_a_certain_answer_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_smooths_towards_the_uniform(smoothing: float) -> None:
    loss = make_loss("cross-entropy", smoothing)(LOGITS, torch.tensor([0])).item()
    weights = (1 - smoothing + smoothing / 2, smoothing / 2)
    assert loss == pytest.approx(-weights[0] * math.log(0.75) - weights[1] * math.log(0.25))


def test_make_loss_finds_focal() -> None:
    targets = torch.tensor([1])
    assert make_loss("focal", 0.0)(LOGITS, targets) == focal_loss(LOGITS, targets)


def test_the_command_line_offers_every_loss() -> None:
    assert image_arguments._LOSSES == LOSSES
