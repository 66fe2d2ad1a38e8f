"""Losses of class maps by name: cross-entropy, focal, Dice, and sums of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from runtimes import UsageError
from train.data.masks import IGNORED
from train.losses import Loss, focal_loss

TERMS = ("cross-entropy", "focal", "dice")
_SMOOTH = 1.0
"""Pixels added to both sides of a Dice ratio: a class of a few pixels then gives no wild gradient."""


def make_segmentation_loss(name: str) -> Loss:
    """A loss by name, such as ``dice`` or ``cross-entropy+dice``.

    Args:
        name: Some of `TERMS`, joined by ``+``; each counts alike.

    Returns:
        From logits (N, classes, h, w) and masks int64 (N, h, w) to a scalar; `IGNORED` pixels do not count.

    Raises:
        UsageError: A term is unknown, or there twice.
    """
    names = name.split("+")
    if not set(names) <= set(TERMS) or len(set(names)) != len(names):
        raise UsageError("Option --loss", got=repr(name), expected=f"some of {', '.join(TERMS)}, joined by +",
                         fix="Correct it.")  # fmt: skip
    terms = [_TERMS[one] for one in names]

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        return torch.stack([term(logits, masks) for term in terms]).sum()

    return loss


def cross_entropy_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean over the pixels that count; 0 where none does."""
    # As rows: the form for maps has no deterministic kernel on a GPU (torch 2.14).
    rows, classes = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.flatten()
    counted = (classes != IGNORED).sum().clamp(min=1)
    return F.cross_entropy(rows, classes, ignore_index=IGNORED, reduction="sum") / counted


def focal_map_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """`train.losses.focal_loss` over the pixels that count; 0 where none does."""
    kept = masks != IGNORED
    if not kept.any():
        return logits.sum() * 0.0
    return focal_loss(logits.permute(0, 2, 3, 1)[kept], masks[kept])


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """One minus the mean soft Dice coefficient of the classes that occur in the batch.

    Per class ``(2 Σ p·y + s) / (Σ p + Σ y + s)`` over all pixels of the batch, after Milletari et al. 2016,
    "V-Net", with plain instead of squared sums in the denominator. Classes that are nowhere in the batch are
    left out: their ratio would say nothing but how small the network's doubt is.
    """
    classes = logits.shape[1]
    kept = masks != IGNORED
    truth = F.one_hot(masks.where(kept, 0), classes).permute(0, 3, 1, 2) * kept[:, None]
    probabilities = logits.softmax(dim=1) * kept[:, None]
    shared = (probabilities * truth).sum(dim=(0, 2, 3))
    there = truth.sum(dim=(0, 2, 3))
    ratio = (2 * shared + _SMOOTH) / (probabilities.sum(dim=(0, 2, 3)) + there + _SMOOTH)
    occurs = there > 0
    return 1 - (ratio * occurs).sum() / occurs.sum().clamp(min=1) if occurs.any() else logits.sum() * 0.0


_TERMS = {"cross-entropy": cross_entropy_loss, "focal": focal_map_loss, "dice": dice_loss}
