"""Batches that hold several items of each of some classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from train.sampling import ClassBatchSampler

TARGETS = np.repeat([0, 1, 2, 3, 4, 7], [40, 40, 40, 40, 40, 3])


def _batches(sampler: ClassBatchSampler, size: int) -> list[list[int]]:
    order = [draw.index for draw in sampler]
    return [order[start : start + size] for start in range(0, len(order), size)]


def test_every_batch_holds_items_per_class() -> None:
    batches = _batches(ClassBatchSampler(TARGETS, seed=1, batch_size=16, items_per_class=4), 16)
    for batch in batches[:-1]:
        assert sorted(Counter(TARGETS[batch].tolist()).values()) == [4, 4, 4, 4]
    assert len({frozenset(TARGETS[batch].tolist()) for batch in batches}) > 5, "classes change"


def test_few_classes_share_the_batch_evenly() -> None:
    targets = np.repeat([0, 1, 2], 30)
    (first, *_) = _batches(ClassBatchSampler(targets, seed=1, batch_size=20, items_per_class=4), 20)
    assert sorted(Counter(targets[first].tolist()).values()) == [6, 7, 7]


def test_epoch_is_as_long_as_the_data() -> None:
    sampler = ClassBatchSampler(TARGETS, seed=1, batch_size=16, items_per_class=4)
    assert len(list(sampler)) == len(sampler) == len(TARGETS)


def test_class_shows_all_its_items_before_one_comes_again() -> None:
    targets = np.repeat([0, 1], [50, 5])
    order = [draw.index for draw in ClassBatchSampler(targets, seed=1, batch_size=10, items_per_class=5)]
    rare = [index for index in order if index >= 50]
    assert len(rare) > 20
    for start in range(0, len(rare) - 5, 5):
        assert sorted(rare[start : start + 5]) == [50, 51, 52, 53, 54]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def draws(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = ClassBatchSampler(TARGETS, seed, 16, 4)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert draws(1, 4) == draws(1, 4)
    assert draws(1, 4) != draws(1, 5)
    assert draws(1, 4) != draws(2, 4)


@pytest.mark.parametrize("size", [2, 3], ids="batches of {}".format)
def test_smallest_batches_still_hold_two_alike(size: int) -> None:
    for batch in _batches(ClassBatchSampler(TARGETS, seed=1, batch_size=size, items_per_class=2), size)[:-1]:
        assert len(set(TARGETS[batch].tolist())) == 1
