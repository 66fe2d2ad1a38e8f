"""A small bidirectional LSTM over words: its own embeddings, trained from nothing.

Padding never changes an answer. Each direction is an LSTM of its own that reads from a text's first token on;
the backward one is shown every text turned round by itself, so that padding comes last for both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEFAULT_EMBEDDING, DEFAULT_HIDDEN, DEFAULT_LAYERS, DEFAULT_DROPOUT = 128, 128, 1, 0.5
_LOWEST = -2.0
"""Below anything an LSTM gives: its outputs lie between -1 and 1."""


def build(
    vocabulary: int,
    classes: int,
    *,
    embedding: int = DEFAULT_EMBEDDING,
    hidden: int = DEFAULT_HIDDEN,
    layers: int = DEFAULT_LAYERS,
    dropout: float = DEFAULT_DROPOUT,
) -> nn.Module:
    """Build the network.

    Args:
        vocabulary: Number of tokens.
        classes: Number of scores.
        embedding: Numbers per token.
        hidden: Width of each direction.
        layers: LSTMs behind one another.
        dropout: Between the layers, and before and behind them.

    Returns:
        A module that takes input_ids and attention_mask, int64 (N, T) padded on the right, and gives logits
        float32 (N, classes).
    """
    if min(vocabulary, embedding, hidden, layers) < 1 or classes < 2:
        raise ValueError(f"vocabulary {vocabulary}, classes {classes}, hidden {hidden}, layers {layers}")
    return TextLSTM(vocabulary, classes, embedding=embedding, hidden=hidden, layers=layers, dropout=dropout)


class TextLSTM(nn.Module):
    """See `build`."""

    def __init__(
        self, vocabulary: int, classes: int, *, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        widths = [embedding, *[2 * hidden] * (layers - 1)]
        self.layers = nn.ModuleList(BothWays(width, hidden) for width in widths)
        self.classifier = nn.Linear(4 * hidden, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (N, classes), from the highest and the mean of what is read over a text."""
        features = self.embedding(input_ids)
        for layer in self.layers:
            features = layer(self.dropout(features), attention_mask)
        there = attention_mask[:, :, None].to(features.dtype)
        mean = (features * there).sum(dim=1) / there.sum(dim=1)
        highest = (features * there + (1.0 - there) * _LOWEST).amax(dim=1)
        return self.classifier(self.dropout(torch.cat([highest, mean], dim=1)))

    def stages(self) -> list[tuple[str, nn.Module]]:
        """From embeddings over the layers to the head."""
        inner = [(f"layers.{at}", layer) for at, layer in enumerate(self.layers)]
        return [("embedding", self.embedding), *inner, ("classifier", self.classifier)]


class BothWays(nn.Module):
    """An LSTM in each direction, side by side."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, features: Tensor, attention_mask: Tensor) -> Tensor:
        """From (N, T, width) to (N, T, 2 * hidden)."""
        order = _turned(attention_mask)[:, :, None]
        behind = self.backwards(features.gather(1, order.expand(-1, -1, features.shape[2])))[0]
        behind = behind.gather(1, order.expand(-1, -1, behind.shape[2]))
        return torch.cat([self.forwards(features)[0], behind], dim=2)


def _turned(attention_mask: Tensor) -> Tensor:
    """Where each token goes when every text is turned round by itself: int64 (N, T), its own inverse.

    Of a text of L tokens, token t goes to L - 1 - t; padding stays where it is.
    """
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)[None, :]
    last = attention_mask.sum(dim=1, keepdim=True) - 1
    return torch.where(places <= last, last - places, places)
