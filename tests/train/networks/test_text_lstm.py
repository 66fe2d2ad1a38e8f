"""The LSTM over words: padding changes nothing, and both ends of a text are read."""

from __future__ import annotations

import pytest
import torch

from train.networks.freezing import freeze, layerwise
from train.networks.text_lstm import build

# Adding in another order, or in another kernel, moves float32 by no more.
ROUNDING = 1e-6


def inputs(*lengths: int, padded_to: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(len(lengths), padded_to, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 20, (length,), generator=generator)
        mask[row, :length] = 1
    return ids, mask


@pytest.mark.parametrize("layers", [1, 2])
def test_padding_never_changes_an_answer(layers: int) -> None:
    torch.manual_seed(0)
    network = build(20, 3, hidden=8, layers=layers).eval()
    short = network(*inputs(3, 5, padded_to=5))
    ids, mask = inputs(3, 5, padded_to=12)
    long = network(ids, mask)
    torch.testing.assert_close(short, long, atol=ROUNDING, rtol=0)
    # Nor does what padding consists of.
    torch.testing.assert_close(network(torch.where(mask == 0, 7, ids), mask), long, atol=ROUNDING, rtol=0)
    torch.testing.assert_close(network(ids[:1, :3], mask[:1, :3]), long[:1], atol=ROUNDING, rtol=0)


def test_the_backward_direction_reads_from_the_end() -> None:
    torch.manual_seed(0)
    layer = build(20, 2, embedding=4, hidden=4).eval().layers[0]
    features = torch.randn(1, 3, 4)
    both = layer(features, torch.ones(1, 3, dtype=torch.int64))
    turned = layer.backwards(features.flip(1))[0].flip(1)
    torch.testing.assert_close(both[:, :, 4:], turned, atol=ROUNDING, rtol=0)
    assert not torch.allclose(both[:, 0, 4:], layer.backwards(features[:, :1])[0][:, 0])


@pytest.mark.parametrize("layers", [1, 2])
def test_unrolled_it_gives_the_same_answers(layers: int) -> None:
    torch.manual_seed(0)
    network = build(20, 3, hidden=8, embedding=5, layers=layers).eval()
    ids, mask = inputs(1, 4, 6, padded_to=6)
    torch.testing.assert_close(network.unrolled()(ids, mask), network(ids, mask), atol=ROUNDING, rtol=0)


def test_stages_can_be_frozen_and_slowed_down() -> None:
    network = build(20, 2, hidden=4, layers=2)
    assert [group.lr_scale for group in layerwise(network, 0.5)] == [0.125, 0.25, 0.5, 1.0]
    assert sum(len(group.parameters) for group in layerwise(network, 0.5)) == len(list(network.parameters()))
    assert [group.name for group in freeze(network, "head-only")] == ["classifier"]
    assert not network.embedding.weight.requires_grad


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden 0"):
        build(20, 2, hidden=0)
