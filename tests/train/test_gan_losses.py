"""What the two players learn from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from train.gan_losses import R1_EVERY, AdversarialLoss


class _Mean(nn.Module):
    """Logits that are the mean brightness, times a weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.weight * pictures.flatten(1).mean(dim=1)


class _Black(nn.Module):
    """Black pictures, whatever the noise; they can be learned to be brighter."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.level.expand(len(noise), 1, 2, 2)


def _loss(weight: float = 2.0, **given: Any) -> AdversarialLoss:
    settings = {"loss": "hinge", "label_smoothing": 0.0, "r1": 0.0, "instance_noise": 0.0, **given}
    return AdversarialLoss(_Mean(weight), dimensions=3, **settings)


WHITE = torch.ones(4, 1, 2, 2)


def test_hinge_is_content_beyond_the_margin() -> None:
    # Real at 2, generated at -2: both beyond 1.
    told = _loss(2.0).discriminator_loss(_Black(), WHITE, penalise=False)
    assert told["loss"].item() == 0.0
    assert told["told_apart"].item() == 1.0
    within = _loss(0.25).discriminator_loss(_Black(), WHITE, penalise=False)
    assert within["loss"].item() == pytest.approx(2 * 0.75)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_non_saturating_is_cross_entropy(smoothing: float) -> None:
    loss = _loss(2.0, loss="non-saturating", label_smoothing=smoothing)
    told = loss.discriminator_loss(_Black(), WHITE, penalise=False)
    real, fake = torch.sigmoid(torch.tensor(2.0)), torch.sigmoid(torch.tensor(-2.0))
    expected = -((1 - smoothing) * real.log() + smoothing * (1 - real).log()) - (1 - fake).log()
    assert told["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["hinge", "non-saturating"])
def test_generator_is_drawn_to_what_counts_as_real(name: str) -> None:
    generator = _Black()
    _loss(2.0, loss=name).generator_loss(generator, 4, torch.device("cpu")).backward()
    assert generator.level.grad is not None
    assert generator.level.grad.item() < 0  # brighter pictures lower its loss


def test_discriminator_loss_leaves_the_generator_alone() -> None:
    generator, loss = _Black(), _loss()
    loss.discriminator_loss(generator, WHITE * 0.5, penalise=False)["loss"].backward()
    assert generator.level.grad is None
    assert loss.discriminator.weight.grad is not None


def test_r1_is_the_squared_gradient_at_real_pictures() -> None:
    plain = _loss(2.0).discriminator_loss(_Black(), WHITE, penalise=True)["loss"]
    punished = _loss(2.0, r1=3.0).discriminator_loss(_Black(), WHITE, penalise=True)["loss"]
    # d/dx of weight * mean over 4 pixels: four gradients of 2 / 4.
    assert (punished - plain).item() == pytest.approx(3.0 / 2 * R1_EVERY * 4 * 0.5**2, rel=1e-5)
    spared = _loss(2.0, r1=3.0).discriminator_loss(_Black(), WHITE, penalise=False)["loss"]
    assert spared.item() == plain.item()


def test_instance_noise_goes_as_its_share_does() -> None:
    loss = _loss(0.5, instance_noise=1.0)
    noisy = {loss.discriminator_loss(_Black(), WHITE, penalise=False)["loss"].item() for _ in range(3)}
    assert len(noisy) == 3
    loss.noise_share = 0.0
    calm = {loss.discriminator_loss(_Black(), WHITE, penalise=False)["loss"].item() for _ in range(3)}
    assert calm == {1.0}
