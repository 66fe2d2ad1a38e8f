"""Losses of class maps against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from runtimes import UsageError
from train.data.masks import IGNORED
from train.losses import focal_loss
from train.segmentation_losses import (
    TERMS,
    cross_entropy_loss,
    dice_loss,
    focal_map_loss,
    make_segmentation_loss,
)

# float32 sums of a few terms.
TOLERANCE = 1e-6


def _logits(*rows: tuple[float, float]) -> torch.Tensor:
    """Probabilities of two classes per pixel as logits (1, 2, 1, pixels)."""
    return torch.tensor(rows, dtype=torch.float32).log().T[None, :, None, :]


def _masks(*classes: int) -> torch.Tensor:
    return torch.tensor(classes)[None, None, :]


def test_cross_entropy_by_hand() -> None:
    loss = cross_entropy_loss(_logits((0.9, 0.1), (0.3, 0.7), (0.5, 0.5)), _masks(0, 1, IGNORED))
    assert float(loss) == pytest.approx(-(math.log(0.9) + math.log(0.7)) / 2, abs=TOLERANCE)


def test_focal_counts_pixels_like_pictures() -> None:
    logits = _logits((0.9, 0.1), (0.3, 0.7), (0.2, 0.8))
    expected = focal_loss(logits[0, :, 0, :2].T, torch.tensor([0, 1]))
    assert float(focal_map_loss(logits, _masks(0, 1, IGNORED))) == pytest.approx(
        float(expected), abs=TOLERANCE
    )


def test_dice_by_hand() -> None:
    loss = dice_loss(_logits((0.9, 0.1), (0.3, 0.7), (0.2, 0.8)), _masks(0, 1, 1))
    # Per class twice the shared part plus one, over both sums plus one.
    first = (2 * 0.9 + 1) / ((0.9 + 0.3 + 0.2) + 1 + 1)
    second = (2 * 1.5 + 1) / ((0.1 + 0.7 + 0.8) + 2 + 1)
    assert float(loss) == pytest.approx(1 - (first + second) / 2, abs=TOLERANCE)


def test_dice_leaves_out_classes_that_are_not_there() -> None:
    loss = dice_loss(_logits((0.9, 0.1), (0.7, 0.3)), _masks(0, 0))
    assert float(loss) == pytest.approx(1 - (2 * 1.6 + 1) / (1.6 + 2 + 1), abs=TOLERANCE)


@pytest.mark.parametrize("name", TERMS)
def test_perfect_maps_cost_nothing(name: str) -> None:
    masks = torch.arange(6).reshape(1, 2, 3) % 3
    logits = 200.0 * torch.nn.functional.one_hot(masks, 3).permute(0, 3, 1, 2).float()
    assert float(make_segmentation_loss(name)(logits, masks)) == pytest.approx(0, abs=TOLERANCE)


@pytest.mark.parametrize("name", ["cross-entropy", "focal", "dice", "cross-entropy+focal+dice"])
def test_ignored_pixels_get_no_gradient(name: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    masks = torch.randint(0, 3, (2, 4, 4))
    masks[:, 1] = IGNORED
    make_segmentation_loss(name)(logits, masks).backward()
    assert float(logits.grad[:, :, 1].abs().max()) == 0
    assert float(logits.grad[:, :, 0].abs().min()) > 0


@pytest.mark.parametrize("name", TERMS)
def test_batch_without_a_pixel_that_counts_is_no_nan(name: str) -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = make_segmentation_loss(name)(logits, torch.full((1, 2, 2), IGNORED))
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(logits.grad.abs().max()) == 0


def test_sum_is_the_sum_of_its_terms() -> None:
    logits, masks = _logits((0.9, 0.1), (0.3, 0.7)), _masks(0, 1)
    parts = [float(make_segmentation_loss(name)(logits, masks)) for name in ("dice", "focal")]
    assert float(make_segmentation_loss("dice+focal")(logits, masks)) == pytest.approx(
        sum(parts), abs=TOLERANCE
    )


@pytest.mark.parametrize("name", ["lovasz", "dice+dice", "dice+", "dice focal"])
def test_unknown_sum_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Option --loss: got"):
        make_segmentation_loss(name)
