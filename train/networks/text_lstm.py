"""A small bidirectional LSTM over words: its own embeddings, trained from nothing.

Padding never changes an answer. Each direction is an LSTM of its own that reads from a text's first token on;
the backward one is shown every text turned round by itself, so that padding comes last for both.
"""

from __future__ import annotations

import copy

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

    def unrolled(self) -> nn.Module:
        """The same network for texts of one fixed length, with its steps written out; shares no weights."""
        network = copy.deepcopy(self)
        network.layers = nn.ModuleList(Unrolled(layer) for layer in self.layers)
        return network

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


class Unrolled(nn.Module):
    """What `BothWays` computes, step by step and both ways at once.

    That is a quarter of the operators that engines without an LSTM of their own would make of it. The length
    is that of the text it is traced with.

    Attributes:
        inputs: From a token and its opposite in the turned text to the gates of both directions: input,
            forget and output gates (sigmoid), then candidates (tanh), the forward half of each first.
        recurrent: From the state of both directions to the same; a direction's block is zero for the other.
    """

    def __init__(self, layer: BothWays) -> None:
        super().__init__()
        width, hidden = layer.forwards.input_size, layer.forwards.hidden_size
        self.hidden = hidden
        self.inputs = nn.Linear(2 * width, 8 * hidden)
        self.recurrent = nn.Linear(2 * hidden, 8 * hidden, bias=False)
        pair = (layer.forwards, layer.backwards)
        with torch.no_grad():
            self.inputs.weight.copy_(_side_by_side(pair[0].weight_ih_l0, pair[1].weight_ih_l0))
            self.recurrent.weight.copy_(_side_by_side(pair[0].weight_hh_l0, pair[1].weight_hh_l0))
            sums = [(lstm.bias_ih_l0 + lstm.bias_hh_l0)[:, None] for lstm in pair]
            self.inputs.bias.copy_(_side_by_side(*sums).sum(dim=1))

    def forward(self, features: Tensor, attention_mask: Tensor) -> Tensor:
        """From (N, T, width) to (N, T, 2 * hidden)."""
        order, hidden = _turned(attention_mask)[:, :, None], self.hidden
        turned = features.gather(1, order.expand(-1, -1, features.shape[2]))
        gates = self.inputs(torch.cat([features, turned], dim=2))
        found: list[Tensor] = []
        cell = None
        for step in range(features.shape[1]):
            now = gates[:, step : step + 1]  # three axes throughout: XNNPACK slices, and does not select
            now = now if cell is None else now + self.recurrent(found[-1])
            opened = torch.sigmoid(now[:, :, : 6 * hidden])
            added = opened[:, :, : 2 * hidden] * torch.tanh(now[:, :, 6 * hidden :])
            cell = added if cell is None else opened[:, :, 2 * hidden : 4 * hidden] * cell + added
            found.append(opened[:, :, 4 * hidden :] * torch.tanh(cell))
        states = torch.cat(found, dim=1)
        behind = states[:, :, hidden:].gather(1, order.expand(-1, -1, hidden))
        return torch.cat([states[:, :, :hidden], behind], dim=2)


def _side_by_side(forwards: Tensor, backwards: Tensor) -> Tensor:
    """Weights (4H, X) of two LSTMs as one (8H, 2X), in the order of `Unrolled`'s gates.

    torch keeps an LSTM's rows as input, forget, candidate and output gates.
    """
    hidden, width = forwards.shape[0] // 4, forwards.shape[1]
    whole = forwards.new_zeros(4, 2, hidden, 2, width)
    for direction, weight in enumerate((forwards, backwards)):
        whole[:, direction, :, direction] = weight.reshape(4, hidden, width)[[0, 1, 3, 2]]
    return whole.reshape(8 * hidden, 2 * width)


def _turned(attention_mask: Tensor) -> Tensor:
    """Where each token goes when every text is turned round by itself: int64 (N, T), its own inverse.

    Of a text of L tokens, token t goes to L - 1 - t; padding stays where it is.
    """
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)[None, :]
    last = attention_mask.sum(dim=1, keepdim=True) - 1
    return torch.where(places <= last, last - places, places)
