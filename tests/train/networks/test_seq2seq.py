"""Network ``seq2seq``: padding and company change nothing, and both ways of looking back work."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.networks.seq2seq import ATTENTIONS, Cell, Seq2Seq, build

SOURCE, TARGET, HIDDEN = 11, 7, 8
CLOSE = 1e-6
"""Of float32 numbers around 1 that are added in another order."""


def _network(attention: str = "additive", layers: int = 1) -> Seq2Seq:
    torch.manual_seed(0)
    return build(SOURCE, TARGET, embedding=4, hidden=HIDDEN, layers=layers, attention=attention).eval()


def _padded(texts: list[list[int]], length: int) -> tuple[Tensor, Tensor]:
    ids = torch.zeros(len(texts), length, dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    lengths = torch.tensor([len(text) for text in texts])
    return ids, (torch.arange(length)[None] < lengths[:, None]).long()


def _stepped(network: Seq2Seq, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    memory, keys, hidden, cell = network(ids, mask)
    token = torch.full((len(ids), 1), 2)
    first = network.step(token, hidden, cell, memory, keys, mask)
    return network.step(token, first[1], first[2], memory, keys, mask)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_and_company_change_no_answer(attention: str, layers: int) -> None:
    network = _network(attention, layers)
    texts = [[3, 4, 5], [6], [9, 2, 7, 1, 5]]
    with torch.inference_mode():
        together = _stepped(network, *_padded(texts, 9))
        for row, text in enumerate(texts):
            alone = _stepped(network, *_padded([text], len(text)))
            for name, mine, theirs in zip(("logits", "hidden", "cell"), together, alone, strict=False):
                torch.testing.assert_close(mine[row], theirs[0], atol=CLOSE, rtol=0, msg=name)
            looked = together[3][row]
            torch.testing.assert_close(looked[: len(text)], alone[3][0], atol=CLOSE, rtol=0)
            assert not looked[len(text) :].any()


@pytest.mark.parametrize("layers", [1, 2])
def test_decoder_begins_with_the_last_states_of_both_directions(layers: int) -> None:
    network = _network(layers=layers)
    seen: list[Tensor] = []
    network.begin_hidden.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    ids, mask = _padded([[3, 4, 5], [6]], 4)
    with torch.inference_mode():
        network(ids, mask)
        for row, length in ((0, 3), (1, 1)):
            values = network.read(ids[row : row + 1, :length])
            for layer in network.encoder:
                forwards, (last, _) = layer.forwards(values)
                backwards, (first, _) = layer.backwards(values.flip(1))
                values = torch.cat([forwards, backwards.flip(1)], dim=2)
            torch.testing.assert_close(seen[0][row], torch.cat([last[0, 0], first[0, 0]]), atol=CLOSE, rtol=0)


def test_unrolled_network_gives_the_same_answers() -> None:
    network = _network(layers=2)
    batch = _padded([[3, 4, 5], [6]], 4)
    with torch.inference_mode():
        for found, wanted in zip(
            _stepped(network.unrolled(), *batch), _stepped(network, *batch), strict=True
        ):
            torch.testing.assert_close(found, wanted, atol=CLOSE, rtol=0)


def test_cell_is_torchs_own() -> None:
    torch.manual_seed(0)
    mine, theirs = Cell(3, 5), torch.nn.LSTMCell(3, 5)
    theirs.load_state_dict(mine.state_dict())
    values, state = torch.randn(2, 3), (torch.randn(2, 5), torch.randn(2, 5))
    for found, wanted in zip(mine(values, state), theirs(values, state), strict=True):
        torch.testing.assert_close(found, wanted, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_weight_learns(attention: str) -> None:
    network = _network(attention, layers=2).train()
    logits, *_ = _stepped(network, *_padded([[3, 4, 5], [6, 1]], 4))
    logits.sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None]


def test_shapes_are_those_of_the_spec() -> None:
    network = _network(layers=2)
    ids, mask = _padded([[3, 4], [5, 6]], 5)
    memory, keys, hidden, cell = network(ids, mask)
    assert [tuple(part.shape) for part in (memory, keys)] == [(2, 5, HIDDEN)] * 2
    assert [tuple(part.shape) for part in (hidden, cell)] == [(2, 2, HIDDEN)] * 2
    logits, next_hidden, next_cell, looked = network.step(
        torch.ones(2, 1, dtype=torch.int64), hidden, cell, memory, keys, mask
    )
    assert logits.shape == (2, TARGET)
    assert next_hidden.shape == hidden.shape and next_cell.shape == cell.shape
    torch.testing.assert_close(looked.sum(dim=1), torch.ones(2), atol=CLOSE, rtol=0)


@pytest.mark.parametrize("given", [{"hidden": 7}, {"attention": "sharp"}], ids=["odd", "unknown"])
def test_builder_refuses_what_it_cannot_build(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an even width and one of"):
        build(SOURCE, TARGET, **given)  # type: ignore[arg-type]
