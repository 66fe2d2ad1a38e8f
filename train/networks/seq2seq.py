"""An LSTM that reads a text and an LSTM that writes another, looking back at what was read."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from train.networks.text_lstm import BothWays, Unrolled

ATTENTIONS = ("additive", "dot")
_CLOSED = 1e9
"""Subtracted from the score of what must not be looked at; finite, so that 16 bit and INT8 can follow."""


def build(
    source_tokens: int,
    target_tokens: int,
    *,
    embedding: int = 64,
    hidden: int = 128,
    layers: int = 1,
    dropout: float = 0.1,
    attention: str = "additive",
) -> Seq2Seq:
    """An encoder and a decoder.

    Args:
        source_tokens: Rows of the encoder's embedding.
        target_tokens: Rows of the decoder's, and logits.
        embedding: Numbers per token.
        hidden: Width of both; even.
        layers: LSTM layers of each.
        dropout: Share of features left out while training.
        attention: ``additive`` (Bahdanau et al. 2015) or ``dot`` (Luong et al. 2015, scaled).

    Raises:
        ValueError: The width is odd, or the attention unknown.
    """
    if hidden % 2 or attention not in ATTENTIONS:
        raise ValueError(f"an even width and one of {ATTENTIONS}, not {hidden} and {attention!r}")
    return Seq2Seq(
        source_tokens,
        target_tokens,
        embedding=embedding,
        hidden=hidden,
        layers=layers,
        dropout=dropout,
        attention=attention,
    )


class Seq2Seq(nn.Module):
    """`forward` reads a text, `step` writes one token.

    The decoder looks with its state before the token is known, so that nothing but its state has to be
    carried on, as in Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning to Align and
    Translate".
    """

    def __init__(
        self,
        source_tokens: int,
        target_tokens: int,
        *,
        embedding: int,
        hidden: int,
        layers: int,
        dropout: float,
        attention: str,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.read = nn.Embedding(source_tokens, embedding)
        widths = [embedding] + [hidden] * (layers - 1)
        self.encoder = nn.ModuleList(BothWays(width, hidden // 2) for width in widths)
        self.begin_hidden = nn.Linear(hidden, layers * hidden)
        self.begin_cell = nn.Linear(hidden, layers * hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.written = nn.Embedding(target_tokens, embedding)
        self.query = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False) if attention == "additive" else None
        widths = [embedding + hidden] + [hidden] * (layers - 1)
        self.decoder = nn.ModuleList(Cell(width, hidden) for width in widths)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.logits = nn.Linear(hidden, target_tokens)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read.

        Args:
            input_ids: int64 (N, T); every text from the left, padding behind it.
            attention_mask: int64 (N, T): 1 where there is text.

        Returns:
            Memory and keys float32 (N, T, hidden); the decoder's first hidden state and cell, float32
            (N, layers, hidden). Padding changes none of what belongs to the text.
        """
        values = self.dropout(self.read(input_ids))
        last = values
        for layer in self.encoder:
            values = layer(values, attention_mask)
            last = _last_states(values, attention_mask)
            values = self.dropout(values)
        shape = (-1, self.layers, last.shape[1])
        hidden = torch.tanh(self.begin_hidden(last)).reshape(shape)
        cell = torch.tanh(self.begin_cell(last)).reshape(shape)
        return values, self.key(values), hidden, cell

    def unrolled(self) -> nn.Module:
        """The same network for texts of one fixed length, with its steps written out; shares no weights."""
        network = copy.deepcopy(self)
        network.encoder = nn.ModuleList(Unrolled(layer) for layer in self.encoder)
        return network

    def step(  # noqa: PLR0917 - an argument per input of the graph
        self,
        token: Tensor,
        hidden: Tensor,
        cell: Tensor,
        memory: Tensor,
        keys: Tensor,
        attention_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Write one token.

        Args:
            token: The one before, int64 (N, 1).
            hidden: float32 (N, layers, hidden).
            cell: Of the same shape.
            memory: As `forward` gave it.
            keys: Likewise.
            attention_mask: As `forward` took it.

        Returns:
            Logits float32 (N, target tokens), the next hidden state and cell, and what was looked at,
            float32 (N, T).
        """
        looked = self._looked(hidden[:, -1], keys, attention_mask)
        context = torch.bmm(looked.unsqueeze(1), memory).squeeze(1)
        values = torch.cat([self.dropout(self.written(token).squeeze(1)), context], dim=1)
        states = []
        for at, layer in enumerate(self.decoder):
            state = layer(values, (hidden[:, at], cell[:, at]))
            states.append(state)
            values = self.dropout(state[0])
        mixed = torch.tanh(self.mix(torch.cat([values, context], dim=1)))
        next_hidden = torch.stack([state[0] for state in states], dim=1)
        next_cell = torch.stack([state[1] for state in states], dim=1)
        return self.logits(self.dropout(mixed)), next_hidden, next_cell, looked

    def _looked(self, state: Tensor, keys: Tensor, attention_mask: Tensor) -> Tensor:
        query = self.query(state).unsqueeze(1)
        if self.score is None:
            scores = (keys * query).sum(dim=2) * keys.shape[2] ** -0.5
        else:
            scores = self.score(torch.tanh(keys + query)).squeeze(2)
        closed = (attention_mask.to(scores.dtype) - 1.0) * _CLOSED
        return torch.softmax(scores + closed, dim=1)


class Cell(nn.LSTMCell):
    """One step of an LSTM, written out.

    Where `chunk` divides a tensor, as in torch's own cell, XNNPACK's lowering fixes the batch to the one
    that was traced (executorch 1.5); remove this when it does not.
    """

    def forward(  # type: ignore[override] - a state is always given
        self, values: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The next state: hidden and cell, float32 (N, hidden) each."""
        hidden, cell = state
        gates = F.linear(values, self.weight_ih, self.bias_ih) + F.linear(
            hidden, self.weight_hh, self.bias_hh
        )
        width = hidden.shape[1]
        add, keep, new, show = (gates[:, at * width : (at + 1) * width] for at in range(4))
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(add) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


def _last_states(values: Tensor, attention_mask: Tensor) -> Tensor:
    """What each direction had read in the end: up to a text's last token, and from there to its first.

    Args:
        values: Of both directions side by side, float32 (N, T, 2 * hidden).
        attention_mask: int64 (N, T).
    """
    half = values.shape[2] // 2
    last = (attention_mask.sum(dim=1) - 1)[:, None, None].expand(-1, -1, half)
    return torch.cat([values[:, :, :half].gather(1, last), values[:, :1, half:]], dim=2).squeeze(1)
