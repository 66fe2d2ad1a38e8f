"""Greedy and beam search over a graph that writes one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from runtimes import Array

State = Mapping[str, Array]
"""What a decoder carries from token to token: arrays (rows, …) by name."""
Step = Callable[[Array, State], "tuple[Array, Array, State]"]
"""From the last tokens int64 (R, 1) and the state to the logits float32 (R, V), what was looked at, float32
(R, T), and the next state. R is items times beams, those of one item in a row."""


@dataclass(frozen=True)
class Rules:
    """How texts are searched for.

    Attributes:
        start: Token that a decoder is given first; never written.
        end: Token that ends a text.
        max_tokens: Most tokens of a text, `end` among them.
        beams: Texts that are weighed side by side; 1 takes the likeliest token every time.
        length_penalty: Texts are ranked by the sum of their tokens' log-probabilities divided by their number
            to the power of this: 0 favours short ones, 1 weighs the mean.
    """

    start: int
    end: int
    max_tokens: int
    beams: int
    length_penalty: float


@dataclass(frozen=True)
class Found:
    """What a search found for N items, best first of B texts each, of up to M tokens.

    Attributes:
        tokens: int64 (N, B, M); behind the end of a text its end is repeated.
        scores: Mean log-probability of a text's tokens, float32 (N, B); minus infinity where there is none.
        probabilities: Of each token of the best text, float32 (N, M); 0 behind its end.
        margins: How close the choice was, float32 (N, M): with one beam the probability by which each token
            was ahead of the next likely one; with several that by which the best text was ahead of the
            second. 0 behind its end.
        attention: Where the decoder looked while it wrote the best text, float32 (N, M, T); 0 behind its end.
    """

    tokens: Array
    scores: Array
    probabilities: Array
    margins: Array
    attention: Array


@dataclass(frozen=True)
class _Beams:
    """Texts so far: N items with B each.

    Attributes:
        tokens: int64 (N, B, t).
        total: Sum of log-probabilities, float64 (N, B).
        length: Tokens, int64 (N, B).
        done: bool (N, B).
        gained: Log-probability of each token, float64 (N, B, t).
        attention: float32 (N, B, t, T).
        margins: float64 (N, B, t).
    """

    tokens: Array
    total: Array
    length: Array
    done: Array
    gained: Array
    attention: Array
    margins: Array


def search(step: Step, state: State, count: int, read: int, rules: Rules) -> Found:
    """Write a text for every item.

    Args:
        step: Runs the decoder once.
        state: What it starts from, one row per item.
        count: N, how many items.
        read: T, how many tokens were read.
        rules: How it is searched.
    """
    width = rules.beams
    state = {name: np.repeat(array, width, axis=0) for name, array in state.items()}
    beams = _begun(count, width, read)
    last = np.full((count * width, 1), rules.start, np.int64)
    for _ in range(rules.max_tokens):
        logits, attention, state = step(last, state)
        gains = _log_probabilities(logits, rules.start).reshape(count, width, -1)
        beams, parents = _advanced(beams, gains, attention.reshape(count, width, -1), rules)
        if beams.done.all():
            break
        rows = (np.arange(count)[:, None] * width + parents).ravel()
        if width > 1:
            state = {name: array[rows] for name, array in state.items()}
        last = beams.tokens[:, :, -1].reshape(-1, 1)
    return _found(beams, rules)


def _begun(count: int, width: int, read: int) -> _Beams:
    total = np.full((count, width), -np.inf)
    total[:, 0] = 0.0  # the others would be copies of the first
    empty = np.zeros((count, width, 0))
    return _Beams(
        tokens=empty.astype(np.int64),
        total=total,
        length=np.zeros((count, width), np.int64),
        done=np.zeros((count, width), bool),
        gained=empty,
        attention=np.zeros((count, width, 0, read), np.float32),
        margins=empty,
    )


def _log_probabilities(logits: Array, start: int) -> Array:
    """float64 of the shape of `logits`; `start` is never written."""
    values = logits.astype(np.float64)
    values[:, start] = -np.inf
    values -= values.max(axis=1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return values


def _advanced(beams: _Beams, gains: Array, attention: Array, rules: Rules) -> tuple[_Beams, Array]:
    """Every item's best texts with one token more, and which text each of them continues: int64 (N, B)."""
    count, width, vocabulary = gains.shape
    # A text that has ended stays as it is: its end follows for nothing, and nothing else does.
    gains = np.where(
        beams.done[:, :, None], np.where(np.arange(vocabulary) == rules.end, 0.0, -np.inf), gains
    )
    length = beams.length + ~beams.done
    total = beams.total[:, :, None] + gains
    rank = (total / (length**rules.length_penalty)[:, :, None]).reshape(count, -1)
    order = np.argsort(-rank, axis=1, kind="stable")[:, : max(width, 2)]  # stable: the lower token on a tie
    chosen = order[:, :width]
    parents, tokens = chosen // vocabulary, chosen % vocabulary
    flat = gains.reshape(count, -1)
    ahead = np.exp(np.take_along_axis(flat, order[:, :2], axis=1))
    margins = np.where(beams.done[:, :1], 0.0, ahead[:, :1] - ahead[:, 1:2])
    ended = np.take_along_axis(beams.done, parents, axis=1)
    grown = _Beams(
        tokens=_with(beams.tokens, parents, tokens),
        total=np.take_along_axis(total.reshape(count, -1), chosen, axis=1),
        length=np.take_along_axis(length, parents, axis=1),
        done=ended | (tokens == rules.end),
        gained=_with(beams.gained, parents, np.take_along_axis(flat, chosen, axis=1)),
        attention=_with(
            beams.attention, parents,
            np.where(ended[:, :, None], 0.0, np.take_along_axis(attention, parents[:, :, None], axis=1)),
        ),
        margins=_with(beams.margins, parents, np.broadcast_to(margins, (count, width))),
    )  # fmt: skip
    return grown, parents


def _with(history: Array, parents: Array, new: Array) -> Array:
    """The histories that are continued, (N, B, t, …), each with its new entry behind it."""
    rows = np.arange(len(history))[:, None]
    return np.concatenate([history[rows, parents], new[:, :, None].astype(history.dtype)], axis=2)


def _found(beams: _Beams, rules: Rules) -> Found:
    _, width, written = beams.tokens.shape
    written_by = np.arange(written)[None] < beams.length[:, :1]
    probabilities = np.where(written_by, np.exp(beams.gained[:, 0]), 0.0)
    margins = beams.margins[:, 0]
    if width > 1:
        sure = np.exp(beams.total[:, :2])
        margins = np.where(written_by, (sure[:, 0] - sure[:, 1])[:, None], 0.0)
    missing = rules.max_tokens - written
    tail = ((0, 0), (0, missing))
    return Found(
        tokens=np.pad(beams.tokens, ((0, 0), *tail), constant_values=rules.end),
        scores=(beams.total / np.maximum(beams.length, 1)).astype(np.float32),
        probabilities=np.pad(probabilities, tail).astype(np.float32),
        margins=np.pad(margins, tail).astype(np.float32),
        attention=np.pad(beams.attention[:, 0], (*tail, (0, 0))),
    )
