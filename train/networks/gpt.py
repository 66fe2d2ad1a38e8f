"""A compact GPT: GPT-2's architecture, with a cache of keys and values for writing token by token."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = ("gelu-tanh", "gelu")
_HIDDEN_FACTOR = 4
_WEIGHT_DEVIATION = 0.02
"""Of starting weights, as GPT-2 has it (Radford et al. 2019)."""


class Block(nn.Module):
    """Attention and a small network, each behind a layer norm and beside a residual path.

    Args:
        width: Numbers per token.
        heads: Of attention.
        epsilon: Of the layer norms.
        dropout: Share that is dropped while training.
        activation: One of `ACTIVATIONS`.
    """

    def __init__(self, width: int, heads: int, epsilon: float, dropout: float, activation: str) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, epsilon)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm_hidden = nn.LayerNorm(width, epsilon)
        self.expand = nn.Linear(width, _HIDDEN_FACTOR * width)
        self.activation = nn.GELU(approximate="tanh" if activation == "gelu-tanh" else "none")
        self.contract = nn.Linear(_HIDDEN_FACTOR * width, width)
        self.dropout = nn.Dropout(dropout)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (N, T, heads, width per head) of tokens (N, T, width)."""
        found = self.query_key_value(self.norm_attention(tokens))
        rows, length, width = tokens.shape
        query, key, value = found.reshape(rows, length, 3, self.heads, width // self.heads).unbind(2)
        return query, key, value

    def attend(self, tokens: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """The rest of the block.

        Args:
            tokens: (N, T, width), what the block was given.
            query: (N, T, heads, D).
            key: (N, S, heads, D), of everything there is to look at.
            value: Likewise.
            seen: bool, broadcast to (N, heads, T, S): what each token may look at.
        """
        found = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=seen,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        tokens = tokens + self.dropout(self.projection(found.transpose(1, 2).flatten(2)))
        hidden = self.activation(self.expand(self.norm_hidden(tokens)))
        return cast(Tensor, tokens + self.dropout(self.contract(hidden)))


class Gpt(nn.Module):
    """A decoder-only transformer with learned positions whose last layer shares the embedding's weights.

    Two graphs: `forward` reads a prompt, `step` writes a token. What they exchange is the cache: keys and
    values (N, P, layers, heads, D) of P tokens, which the caller keeps.

    Args:
        vocabulary: Rows of the embedding.
        context: Most tokens that it looks at.
        layers: Number of blocks.
        heads: Of attention in each.
        width: Numbers per token, a multiple of `heads`.
        dropout: Share that is dropped while training.
        epsilon: Of the layer norms.
        activation: One of `ACTIVATIONS`.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        context: int,
        layers: int,
        heads: int,
        width: int,
        dropout: float = 0.0,
        epsilon: float = 1e-5,
        activation: str = "gelu-tanh",
    ) -> None:
        super().__init__()
        if width % heads or activation not in ACTIVATIONS:
            raise ValueError(f"width {width} of {heads} heads, activation {activation!r}")
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, epsilon, dropout, activation) for _ in range(layers))
        self.norm = nn.LayerNorm(width, epsilon)
        self._initialise(layers)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read prompts.

        Args:
            input_ids: int64 (N, T), padded at the end.
            attention_mask: int64 (N, T), 1 for tokens and 0 for padding.

        Returns:
            Logits of the token after each, float32 (N, T, vocabulary), and keys and values (N, T, layers,
            heads, D), zero where there is padding.
        """
        hidden, keys, values = self._read(input_ids)
        there = attention_mask[:, :, None, None, None].to(hidden.dtype)
        return self._logits(hidden), torch.stack(keys, 2) * there, torch.stack(values, 2) * there

    def logits(self, input_ids: Tensor) -> Tensor:
        """Logits alone (N, T, vocabulary) of full rows, as training needs them."""
        return self._logits(self._read(input_ids)[0])

    def step(
        self, token: Tensor, keys: Tensor, values: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read one more token of each text.

        Args:
            token: int64 (N, 1).
            keys: float32 (N, P, layers, heads, D), of the tokens before it.
            values: Likewise.
            length: int64 (N, 1), how many of the P are there; the token stands behind them.

        Returns:
            Logits of the token after it, float32 (N, vocabulary), and its own key and value (N, 1, layers,
            heads, D).
        """
        hidden = self.dropout(self.tokens(token) + self.positions(length))
        there = torch.arange(keys.shape[1], device=keys.device)[None] < length
        seen = torch.cat([there, torch.ones_like(length, dtype=torch.bool)], dim=1)[:, None, None]
        new_keys, new_values = [], []
        for at, block in enumerate(self.blocks):
            query, key, value = block.project(hidden)
            new_keys.append(key)
            new_values.append(value)
            past = torch.cat([keys[:, :, at], key], dim=1), torch.cat([values[:, :, at], value], dim=1)
            hidden = block.attend(hidden, query, *past, seen)
        return self._logits(hidden)[:, 0], torch.stack(new_keys, 2), torch.stack(new_values, 2)

    def _read(self, input_ids: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        length = input_ids.shape[1]
        positions = torch.arange(length, device=input_ids.device)
        hidden = self.dropout(self.tokens(input_ids) + self.positions(positions)[None])
        seen = (positions[None, :] <= positions[:, None])[None, None]
        keys, values = [], []
        for block in self.blocks:
            query, key, value = block.project(hidden)
            keys.append(key)
            values.append(value)
            hidden = block.attend(hidden, query, key, value, seen)
        return hidden, keys, values

    def _logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(self.norm(hidden), self.tokens.weight)

    def _initialise(self, layers: int) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                # Every layer adds twice to the residual path: its sum shall not grow with the layers.
                residual = name.endswith(("projection.weight", "contract.weight"))
                nn.init.normal_(parameter, std=_WEIGHT_DEVIATION / ((2 * layers) ** 0.5 if residual else 1))


def build(
    *,
    vocabulary: int,
    context: int,
    layers: int,
    heads: int,
    width: int,
    dropout: float = 0.0,
    epsilon: float = 1e-5,
    activation: str = "gelu-tanh",
) -> Gpt:
    """The builder behind the entry point ``gpt``; see `Gpt`."""
    return Gpt(
        vocabulary=vocabulary,
        context=context,
        layers=layers,
        heads=heads,
        width=width,
        dropout=dropout,
        epsilon=epsilon,
        activation=activation,
    )
