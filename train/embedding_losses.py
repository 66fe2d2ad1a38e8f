"""Losses of metric learning: what is of one class shall lie in one direction.

All are computed on vectors of length one, because that is what the device gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

CENTRE_RATE = 0.5
"""How far a centre moves towards its class in a step (Wen et al. 2016 use the same)."""
COSINE_SCALE = 16.0
"""Factor on cosines before the softmax. Without one, even perfect vectors of ten classes would have a
probability of 0.45 only (Wang et al. 2017, "NormFace", section 3.2)."""
_SMALLEST_SQUARE = 1e-6
"""Below this squared distance the root's slope would blow rounding up."""


class EmbeddingLoss(nn.Module):
    """A sum of losses on the vectors of a batch; `Plan.loss` of a metric-learning run.

    Args:
        names: Some of ``triplet``, ``centre``, ``cross-entropy``.
        classes: Number of classes.
        dimensions: Numbers in a vector.
        margin: Of ``triplet``.
        centre_weight: Factor on ``centre``.
    """

    def __init__(
        self, names: tuple[str, ...], classes: int, dimensions: int, margin: float, centre_weight: float
    ) -> None:
        super().__init__()
        made: dict[str, nn.Module] = {}
        for name in names:
            if name == "triplet":
                made[name] = BatchHardTriplet(margin)
            elif name == "centre":
                made[name] = CentreLoss(classes, dimensions)
            else:
                made[name] = CosineSoftmax(classes, dimensions)
        self.parts = nn.ModuleDict(made)
        self._weights = {"centre": centre_weight}

    def forward(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Named scalars: each part by name with ``_loss`` behind it, and ``loss``, their weighted sum."""
        images, targets = batch
        given: Any = network(images.contiguous(memory_format=torch.channels_last))
        # In 32 bit: autocast's half floats cannot tell distances of near vectors.
        with torch.autocast(images.device.type, enabled=False):
            vectors = F.normalize(given.float(), dim=1)
            parts = {name: part(vectors, targets) for name, part in self.parts.items()}
        total = sum(self._weights.get(name, 1.0) * value for name, value in parts.items())
        return {"loss": total, **{f"{name}_loss": value for name, value in parts.items()}}


class BatchHardTriplet(nn.Module):
    """``max(0, margin + farthest of the same class - nearest of another)``, the mean over the batch.

    Hermans, Beyer & Leibe 2017, "In Defense of the Triplet Loss for Person Re-Identification", equation 5,
    with the Euclidean distance of unit vectors, 0..2.

    Args:
        margin: By how much another class shall be farther.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """A scalar.

        Args:
            vectors: float32 (N, D) of length one.
            targets: Class indices, int64 (N,). An item alone in its class or in a batch of one class counts
                as solved.
        """
        squares = (2.0 - 2.0 * vectors @ vectors.T).clamp(min=_SMALLEST_SQUARE)
        distances = squares.sqrt()
        same = targets[:, None] == targets[None, :]
        farthest = distances.masked_fill(~same, 0.0).amax(dim=1)
        nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
        solvable = (same.sum(dim=1) > 1) & ~same.all(dim=1)
        gaps = torch.where(solvable, self.margin + farthest - nearest, 0.0)
        return gaps.clamp(min=0.0).mean()


class CentreLoss(nn.Module):
    """Half the squared distance of each vector to its class's centre, the mean over the batch.

    Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", equations 2 to 4:
    the centres are not trained by gradient but follow their classes by `CENTRE_RATE`. Alone it is solved by
    giving one vector for everything: it belongs beside a loss that tells classes apart.

    Args:
        classes: Number of classes.
        dimensions: Numbers in a vector.
    """

    centres: Tensor

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, dimensions))

    def forward(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """A scalar; in training, the centres move too.

        Args:
            vectors: float32 (N, D).
            targets: Class indices, int64 (N,).
        """
        gaps = vectors - self.centres[targets]
        loss = 0.5 * gaps.pow(2).sum(dim=1).mean()
        if self.training:
            with torch.no_grad():
                member = F.one_hot(targets, len(self.centres)).to(gaps.dtype)
                step = (member.T @ gaps.detach()) / (1.0 + member.sum(dim=0))[:, None]
                self.centres += CENTRE_RATE * step
        return loss


class CosineSoftmax(nn.Module):
    """Cross-entropy over the cosines between a vector and one learned direction per class.

    Wang et al. 2017, "NormFace: L2 Hypersphere Embedding for Face Verification", equation 9.

    Args:
        classes: Number of classes.
        dimensions: Numbers in a vector.
    """

    def __init__(self, classes: int, dimensions: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(classes, dimensions) / dimensions**0.5)

    def forward(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """A scalar.

        Args:
            vectors: float32 (N, D) of length one.
            targets: Class indices, int64 (N,).
        """
        cosines = vectors @ F.normalize(self.directions, dim=1).T
        return F.cross_entropy(COSINE_SCALE * cosines, targets)
