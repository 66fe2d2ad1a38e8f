"""How several processes share what a sampler draws."""

from __future__ import annotations

import numpy as np
import pytest

from train.sampling import ClassBatchSampler, Draw, EpochSampler, PartSampler

SEED = 3


def _parts(sampler: EpochSampler, size: int, batch_size: int) -> list[list[Draw]]:
    return [list(PartSampler(sampler, rank, size, batch_size)) for rank in range(size)]


def _batches(draws: list[Draw], batch_size: int) -> list[list[Draw]]:
    return [draws[start : start + batch_size] for start in range(0, len(draws), batch_size)]


@pytest.mark.parametrize("weighted", [False, True], ids=["shuffled", "by weight"])
def test_batches_together_are_those_of_one_process(weighted: bool) -> None:
    sampler = EpochSampler(25, SEED, np.linspace(0.1, 1.0, 25) if weighted else None)
    sampler.set_epoch(4)
    parts = [_batches(draws, 4) for draws in _parts(sampler, 2, 4)]
    together = [[*left, *right] for left, right in zip(*parts, strict=True)]
    assert together == _batches(list(sampler), 8)[:3]


def test_no_item_is_drawn_twice() -> None:
    parts = _parts(EpochSampler(23, SEED), 2, 4)
    drawn = [draw.index for part in parts for draw in part]
    assert len(drawn) == len(set(drawn)) == 16


def test_epoch_reaches_the_sampler() -> None:
    part = PartSampler(EpochSampler(8, SEED), 0, 2, 4)
    first = list(part)
    part.set_epoch(1)
    assert list(part) != first


@pytest.mark.parametrize(("count", "expected"), [(5, 2), (4, 2), (16, 8), (2, 1), (1, 0)])
def test_few_items_are_divided_evenly(count: int, expected: int) -> None:
    """None waits for a batch that another has and it has not."""
    parts = _parts(EpochSampler(count, SEED), 2, 8)
    assert [len(part) for part in parts] == [expected, expected]
    assert len(PartSampler(EpochSampler(count, SEED), 1, 2, 8)) == expected


def test_batches_of_classes_stay_whole() -> None:
    """Each process still compares like with like."""
    targets = np.repeat(np.arange(6), 10)
    sampler = ClassBatchSampler(targets, SEED, batch_size=8, items_per_class=4)
    for part in _parts(sampler, 2, 8):
        for batch in _batches(part, 8):
            classes, counts = np.unique(targets[[draw.index for draw in batch]], return_counts=True)
            assert (len(classes), set(counts)) == (2, {4})
