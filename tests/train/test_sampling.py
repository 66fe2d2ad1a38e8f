"""Order, weights and seeds of an epoch."""

from __future__ import annotations

import numpy as np
import torch

from train.sampling import EpochSampler, derive_seed, seeded


def test_sampler_shows_every_item_once() -> None:
    assert sorted(draw.index for draw in EpochSampler(50, seed=1)) == list(range(50))


def test_sampler_is_a_function_of_seed_and_epoch() -> None:
    def draws(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = EpochSampler(20, seed)
        sampler.set_epoch(epoch)
        torch.rand(3)  # the global generator must not matter
        return list(sampler)

    assert draws(1, 4) == draws(1, 4)
    assert draws(1, 4) != draws(1, 5)
    assert draws(1, 4) != draws(2, 4)


def test_sampler_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    list(EpochSampler(20, 1, np.ones(20)))
    assert torch.equal(torch.get_rng_state(), state)


def test_sampler_gives_every_item_its_own_seed() -> None:
    assert len({draw.seed for draw in EpochSampler(200, seed=1)}) == 200


def test_sampler_draws_by_weight() -> None:
    # 90 items of one class and 10 of another, weighted to count alike.
    weights = np.array([1 / 90] * 90 + [1 / 10] * 10)
    sampler = EpochSampler(100, 1, weights)
    rare = 0
    for epoch in range(50):
        sampler.set_epoch(epoch)
        rare += sum(draw.index >= 90 for draw in sampler)
    # 5,000 draws at 1/2: a standard deviation is 35, and this allows five of them.
    assert abs(rare - 2500) < 177


def test_derive_seed_differs_by_purpose_and_fits_a_generator() -> None:
    seeds = {
        derive_seed(seed, word, at) for seed in range(3) for word in ("order", "epoch") for at in range(9)
    }
    assert len(seeds) == 54
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeded_puts_the_generator_back() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    with seeded(9):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), wanted)
    with seeded(9):
        assert torch.equal(torch.rand(2), inside)
