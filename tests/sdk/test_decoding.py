"""Greedy and beam search: right by enumeration, the same alone and in a batch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from runtimes import Array
from sdk.outputs.decoding import Found, Rules, State, search

END, START, VOCABULARY, MOST = 0, 1, 4, 4
CLOSE = 1e-6
"""Of float32 results from float64 sums."""


def _tables(count: int, seed: int = 0) -> Array:
    """For each item and place the logits of every token behind every other: float32 (N, M, V, V)."""
    tables = np.random.default_rng(seed).normal(size=(count, MOST, VOCABULARY, VOCABULARY)) * 2
    return tables.astype(np.float32)


def _everywhere(table: Array) -> Array:
    """The same table (V, V) at every place of one item."""
    return np.broadcast_to(table, (1, MOST, *table.shape)).copy()


def _step(last: Array, state: State) -> tuple[Array, Array, State]:
    """A decoder whose state is its tables: what follows depends on the last token and the place alone."""
    logits = np.take_along_axis(state["tables"][:, 0], last[:, :, None], axis=1)[:, 0]
    looked = np.full((len(last), 3), np.float32(1 / 3))
    return logits, looked, {"tables": np.roll(state["tables"], -1, axis=1)}


def _search(tables: Array, beams: int, penalty: float = 1.0) -> Found:
    rules = Rules(START, END, MOST, beams, penalty)
    return search(_step, {"tables": tables}, len(tables), 3, rules)


def _log_p(tables: Array) -> Array:
    values = tables.astype(np.float64)
    values[..., START] = -np.inf
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))


def _all_texts(tables: Array) -> dict[tuple[int, ...], float]:
    """Every text of up to `MOST` tokens with its log-probability."""
    log_p, texts = _log_p(tables), {}
    for length in range(1, MOST + 1):
        for tokens in itertools.product((0, 2, 3), repeat=length):
            ends = [at for at, token in enumerate(tokens) if token == END]
            if ends == [length - 1] or (not ends and length == MOST):
                pairs = enumerate(itertools.pairwise((START, *tokens)))
                texts[tokens] = sum(log_p[at, a, b] for at, (a, b) in pairs)
    return texts


def _text(tokens: Array) -> tuple[int, ...]:
    found = tokens.tolist()
    return tuple(found[: found.index(END) + 1] if END in found else found)


def test_greedy_takes_the_likeliest_token_every_time() -> None:
    tables = _tables(20)
    found = _search(tables, beams=1)
    for table, tokens, probabilities, margins in zip(
        tables, found.tokens[:, 0], found.probabilities, found.margins, strict=True
    ):
        last = START
        for at, token in enumerate(_text(tokens)):
            p = np.exp(_log_p(table)[at, last])
            second, first = np.sort(p)[-2:]
            assert token == p.argmax()
            assert probabilities[at] == pytest.approx(first, abs=CLOSE)
            assert margins[at] == pytest.approx(first - second, abs=CLOSE)
            last = token
        assert not probabilities[len(_text(tokens)) :].any()


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beams_find_the_best_of_all_texts(penalty: float) -> None:
    tables = _tables(10, seed=1)
    found = _search(tables, beams=64, penalty=penalty)
    for row, table in enumerate(tables):
        ranked = sorted(_all_texts(table).items(), key=lambda item: -item[1] / len(item[0]) ** penalty)
        for place in range(5):
            text, log_p = ranked[place]
            assert _text(found.tokens[row, place]) == text
            assert found.scores[row, place] == pytest.approx(log_p / len(text), abs=CLOSE)
        ahead = np.exp(ranked[0][1]) - np.exp(ranked[1][1])
        assert found.margins[row, 0] == pytest.approx(ahead, abs=CLOSE)


def test_beams_beyond_all_texts_are_marked_as_none() -> None:
    table = np.full((VOCABULARY, VOCABULARY), -1e30, np.float32)
    table[:, 2] = 0.0  # nothing else can be written
    found = _search(_everywhere(table), beams=3)
    assert _text(found.tokens[0, 0]) == (2, 2, 2, 2)
    assert found.scores[0, 0] == pytest.approx(0.0, abs=CLOSE)
    assert (found.scores[0, 1:] < -1e20).all()


@pytest.mark.parametrize("beams", [1, 3])
def test_items_of_a_batch_are_decoded_as_alone(beams: int) -> None:
    tables = _tables(6, seed=2)
    together = _search(tables, beams)
    for row in range(len(tables)):
        alone = _search(tables[row : row + 1], beams)
        for name in ("tokens", "scores", "probabilities", "margins", "attention"):
            np.testing.assert_array_equal(getattr(together, name)[row], getattr(alone, name)[0], err_msg=name)


def test_a_longer_text_needs_a_length_penalty() -> None:
    table = np.full((VOCABULARY, VOCABULARY), -20.0, np.float32)
    table[START, [END, 2]] = np.log([0.55, 0.45])
    table[2, 3] = table[3, END] = 5.0
    short, long = (_text(_search(_everywhere(table), 4, penalty).tokens[0, 0]) for penalty in (0.0, 1.0))
    assert short == (END,)
    assert long == (2, 3, END)


def test_start_is_never_written() -> None:
    table = np.zeros((VOCABULARY, VOCABULARY), np.float32)
    table[:, START] = 50.0
    assert START not in _search(_everywhere(table), beams=1).tokens


def test_equal_logits_give_the_lower_token() -> None:
    assert _text(_search(np.zeros((1, MOST, VOCABULARY, VOCABULARY), np.float32), 1).tokens[0, 0]) == (END,)


def test_attention_is_that_of_the_text_it_belongs_to() -> None:
    tables = _tables(1, seed=3)

    def step(last: Array, state: State) -> tuple[Array, Array, State]:
        logits, _, state = _step(last, state)
        # Where the decoder looked is the token before.
        return logits, np.eye(VOCABULARY, dtype=np.float32)[last[:, 0]], state

    rules = Rules(START, END, MOST, 5, 1.0)
    found = search(step, {"tables": tables}, 1, VOCABULARY, rules)
    text = _text(found.tokens[0, 0])
    assert found.attention[0, : len(text)].argmax(axis=1).tolist() == [START, *text[:-1]]
    assert not found.attention[0, len(text) :].any()
