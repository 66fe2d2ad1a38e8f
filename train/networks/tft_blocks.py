"""Parts of a Temporal Fusion Transformer (Lim et al. 2021, "Temporal Fusion Transformers for interpretable
multi-horizon time series forecasting", sections 4.1, 4.2 and 4.4).
"""

from __future__ import annotations

from itertools import accumulate

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

_FAR = -1e4
"""Added to the score of what must not be looked at: far below others, and a number in half precision."""


def elu(x: Tensor) -> Tensor:
    """ELU from operators that every engine has: TensorRT-RTX 1.7 refuses its own."""
    return F.relu(x) + torch.exp(x.clamp(max=0.0)) - 1.0


def by_variable(rows: Tensor, sizes: list[int]) -> list[Tensor]:
    """Columns (…, sum of sizes) of several variables, apart.

    By slices: lowering `torch.split` with ExecuTorch 1.5 fixes an open batch at that of its example.
    """
    ends = list(accumulate(sizes))
    return [rows[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


class GatedSum(nn.Module):
    """Dropout, a gated linear unit, and the layer norm of its sum with what went around it.

    Args:
        features: Of its input.
        width: Of its output.
        dropout: Share of features that are left out while training.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.value = nn.Linear(features, width)
        self.gate = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, around: Tensor) -> Tensor:
        """From (…, features) and (…, width) to (…, width)."""
        x = self.dropout(x)
        return self.norm(around + self.value(x) * torch.sigmoid(self.gate(x)))


class GatedResidual(nn.Module):
    """The gated residual network: two layers that may be skipped.

    Args:
        features: Of its input.
        width: Of its output.
        dropout: Share of features that are left out while training.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.around = nn.Identity() if features == width else nn.Linear(features, width)
        self.first = nn.Linear(features, width)
        self.second = nn.Linear(width, width)
        self.sum = GatedSum(width, width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From (…, features) to (…, width)."""
        return self.sum(self.second(elu(self.first(x))), self.around(x))


class VariableSelection(nn.Module):
    """Variables, each with its own embedding, and how much of each is let through.

    Args:
        sizes: Numbers that each variable has.
        width: Of the embeddings.
        dropout: Share of features that are left out while training.
    """

    def __init__(self, sizes: list[int], width: int, dropout: float) -> None:
        super().__init__()
        self.sizes = sizes
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        self.each = nn.ModuleList(GatedResidual(width, width, dropout) for _ in sizes)
        self.choose = GatedResidual(len(sizes) * width, len(sizes), dropout)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """From all variables' numbers (N, T, sum of sizes) to features (N, T, width) and shares (N, T, V)."""
        parts = by_variable(rows, self.sizes)
        embedded = [embed(part) for embed, part in zip(self.embed, parts, strict=True)]
        shares = torch.softmax(self.choose(torch.cat(embedded, dim=-1)), dim=-1)
        chosen = torch.zeros_like(embedded[0])
        for at, (each, part) in enumerate(zip(self.each, embedded, strict=True)):
            chosen = chosen + shares[..., at : at + 1] * each(part)
        return chosen, shares


class InterpretableAttention(nn.Module):
    """Attention whose heads share their values, so that the mean of their weights says what was looked at.

    Args:
        width: Of features.
        heads: Divides `width`.
        queries: Rows that ask: the last ones of all.
        before: Rows that may always be looked at; of those that ask, only those up to the own one.
    """

    mask: Tensor

    def __init__(self, width: int, heads: int, queries: int, before: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, self.size)
        self.out = nn.Linear(self.size, width)
        later = torch.ones(queries, before + queries).triu(before + 1)
        self.register_buffer("mask", later * _FAR, persistent=False)

    def forward(self, asking: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """From (N, queries, width) and (N, rows, width) to such features and weights (N, queries, rows)."""
        query, key = self._by_head(self.query(asking)), self._by_head(self.key(rows))
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.size**-0.5 + self.mask
        weights = torch.softmax(scores, dim=-1).mean(dim=1)
        return self.out(torch.matmul(weights, self.value(rows))), weights

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(-1, x.shape[1], self.heads, self.size).transpose(1, 2)
