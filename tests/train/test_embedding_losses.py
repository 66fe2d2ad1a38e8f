"""Losses of metric learning against cases worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from train.embedding_losses import (
    CENTRE_RATE,
    COSINE_SCALE,
    BatchHardTriplet,
    CentreLoss,
    CosineSoftmax,
    EmbeddingLoss,
)

ROUNDING = 1e-5


def _at(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _chord(degrees: float) -> float:
    return 2 * math.sin(math.radians(degrees) / 2)


def test_triplet_takes_the_hardest_of_the_batch() -> None:
    vectors, targets = _at(0, 20, 50, 100), torch.tensor([0, 0, 1, 1])
    wanted = [
        max(0, 0.2 + _chord(20) - _chord(50)),
        max(0, 0.2 + _chord(20) - _chord(30)),
        max(0, 0.2 + _chord(50) - _chord(30)),
        max(0, 0.2 + _chord(50) - _chord(80)),
    ]
    assert sum(value > 0 for value in wanted) == 2, "solved ones are among them"
    assert BatchHardTriplet(0.2)(vectors, targets).item() == pytest.approx(sum(wanted) / 4, abs=ROUNDING)


@pytest.mark.parametrize("targets", [[0, 0, 0], [0, 1, 2]], ids=["one class", "nothing alike"])
def test_triplet_without_a_comparison_is_zero(targets: list[int]) -> None:
    vectors = _at(0, 20, 50).requires_grad_()
    loss = BatchHardTriplet(0.2)(vectors, torch.tensor(targets))
    loss.backward()
    assert loss.item() == 0.0
    assert not vectors.grad.any()


def test_triplet_of_one_point_is_its_margin_and_has_a_finite_slope() -> None:
    vectors = _at(30, 30, 30, 30).requires_grad_()
    loss = BatchHardTriplet(0.2)(vectors, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.2, abs=ROUNDING)
    assert torch.isfinite(vectors.grad).all()


def test_triplet_pulls_like_together_and_pushes_others_away() -> None:
    angles = torch.tensor([0.0, 40.0, 60.0]).deg2rad().requires_grad_()
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    BatchHardTriplet(0.2)(vectors, torch.tensor([0, 0, 1])).backward()
    # Going down the slope turns the middle one back to 0° and away from the other class at 60°.
    assert angles.grad[1] > 0
    assert angles.grad[2] < 0


def test_centre_loss_and_its_centres_by_hand() -> None:
    loss = CentreLoss(3, 2).train()
    vectors, targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), torch.tensor([0, 0, 1])
    # Centres start at zero: every squared distance is 1.
    assert loss(vectors, targets).item() == pytest.approx(0.5)
    # Class 0: (1, 0) + (0, 1) over 1 + 2; class 1: (0, -1) over 1 + 1; class 2 stays.
    wanted = CENTRE_RATE * torch.tensor([[1 / 3, 1 / 3], [0.0, -1 / 2], [0.0, 0.0]])
    torch.testing.assert_close(loss.centres, wanted)
    # From class 0's centre (1/6, 1/6) to (1, 0), halved.
    again = loss.eval()(vectors[:1], targets[:1])
    assert again.item() == pytest.approx(0.5 * ((5 / 6) ** 2 + (1 / 6) ** 2))
    torch.testing.assert_close(loss.centres, wanted)


def test_cosine_softmax_by_hand() -> None:
    loss = CosineSoftmax(2, 2)
    loss.directions.data = torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    # Cosines 0.6 and 0.8, whatever the directions' lengths.
    got = loss(torch.tensor([[0.6, 0.8]]), torch.tensor([1])).item()
    assert got == pytest.approx(math.log(1 + math.exp(COSINE_SCALE * (0.6 - 0.8))), abs=ROUNDING)


class _Passing(nn.Module):
    """Gives what it was given, four-dimensional batches as rows."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)


def test_sum_weighs_its_parts_and_takes_vectors_of_any_length() -> None:
    loss = EmbeddingLoss(("triplet", "centre"), classes=2, dimensions=2, margin=0.2, centre_weight=0.1).eval()
    vectors, targets = _at(0, 20, 50, 100), torch.tensor([0, 0, 1, 1])
    parts = loss(_Passing(), (7 * vectors[:, :, None, None], targets))
    triplet = BatchHardTriplet(0.2)(vectors, targets).item()
    assert parts["triplet_loss"].item() == pytest.approx(triplet, abs=ROUNDING)
    assert parts["centre_loss"].item() == pytest.approx(0.5, abs=ROUNDING)
    assert parts["loss"].item() == pytest.approx(triplet + 0.1 * 0.5, abs=ROUNDING)


@pytest.mark.parametrize(
    ("name", "parameters", "buffers"),
    [("triplet", 0, 0), ("centre", 0, 1), ("cross-entropy", 1, 0)],
)
def test_what_a_loss_learns_is_part_of_its_state(name: str, parameters: int, buffers: int) -> None:
    loss = EmbeddingLoss((name,), classes=3, dimensions=4, margin=0.2, centre_weight=0.1)
    assert (len(list(loss.parameters())), len(list(loss.buffers()))) == (parameters, buffers)
    assert len(loss.state_dict()) == parameters + buffers
