"""Which items an epoch shows, in which order, and how each is drawn: a function of seed and epoch alone.

Every item carries its own seed, so what an augmentation does to it depends neither on worker processes nor
on where a run was resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from runtimes import Array

_LENGTH_POOL = 50
"""Batches that are put in order of length together: more gain little, fewer leave more padding."""


class Draw(NamedTuple):
    """One item of an epoch: its index in the data, and the seed of its augmentation."""

    index: int
    seed: int


class EpochSampler(Sampler[Draw]):
    """Shuffles, or draws with replacement by weight.

    Args:
        count: Items in the data, and per epoch.
        seed: Of the run.
        weights: A positive weight per item, float64 (count,), to draw by; None shuffles.
    """

    def __init__(self, count: int, seed: int, weights: Array | None = None) -> None:
        self._count = count
        self._seed = seed
        self._weights = None if weights is None else torch.from_numpy(weights)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next iteration gives. Lightning calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "order", self._epoch))
        order = self._order(generator)
        seeds = torch.randint(2**62, (self._count,), generator=generator)
        yield from map(Draw, order.tolist(), seeds.tolist())

    def _order(self, generator: torch.Generator) -> Tensor:
        """Which items, in which order: int64 (count,)."""
        if self._weights is None:
            return torch.randperm(self._count, generator=generator)
        return torch.multinomial(self._weights, self._count, replacement=True, generator=generator)


class ClassBatchSampler(EpochSampler):
    """Every batch holds several items each of some classes, so that like can be compared with like.

    Each batch draws its classes anew and is divided evenly between them. A class goes through all its items
    before one comes again; one with few items therefore repeats them sooner.

    Args:
        targets: Class indices, int64 (N,).
        seed: Of the run.
        batch_size: Items per batch.
        items_per_class: Least items of one class in a batch.
    """

    def __init__(self, targets: Array, seed: int, batch_size: int, items_per_class: int) -> None:
        super().__init__(len(targets), seed)
        self._rows = [torch.from_numpy(np.flatnonzero(targets == label)) for label in np.unique(targets)]
        self._batch_size = batch_size
        self._classes = min(len(self._rows), max(1, batch_size // items_per_class))

    def _order(self, generator: torch.Generator) -> Tensor:
        streams = [_endless(rows, generator) for rows in self._rows]
        order: list[int] = []
        while len(order) < self._count:
            size = min(self._batch_size, self._count - len(order))
            chosen = torch.randperm(len(streams), generator=generator)[: self._classes].tolist()
            for slot in range(size):
                order.append(next(streams[chosen[slot % len(chosen)]]))
        return torch.tensor(order)


class LengthSampler(EpochSampler):
    """Items of about one length share a batch, so that little of it is padding; which ones, chance decides.

    The epoch's items are drawn as ever. Within every `_LENGTH_POOL` batches they are put in order of length,
    cut into batches, and these are shuffled.

    Args:
        lengths: Of each item, int64 (N,).
        seed: Of the run.
        batch_size: Items per batch.
        weights: As for `EpochSampler`.
    """

    def __init__(self, lengths: Array, seed: int, batch_size: int, weights: Array | None = None) -> None:
        super().__init__(len(lengths), seed, weights)
        self._lengths = torch.from_numpy(lengths)
        self._batch_size = batch_size

    def _order(self, generator: torch.Generator) -> Tensor:
        batches: list[Tensor] = []
        for pool in super()._order(generator).split(_LENGTH_POOL * self._batch_size):
            rising = pool[torch.argsort(self._lengths[pool], stable=True)]
            batches += rising.split(self._batch_size)
        # A short last batch stays last: in front of others it would move where they begin.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        short = [batch for batch in batches if len(batch) < self._batch_size]
        turns = torch.randperm(len(full), generator=generator).tolist()
        return torch.cat([full[turn] for turn in turns] + short)


class PartSampler(Sampler[Draw]):
    """One process's part of what a sampler draws: the batches of all of them together are its batches.

    Of every `size` batches that follow each other, each process takes one. What is left at the end and does
    not fill one for each is left out; where nothing would remain, it is divided evenly instead.

    Args:
        sampler: Draws for all of them alike.
        rank: This process's number, from 0.
        size: How many there are.
        batch_size: Items per batch of one process.
    """

    def __init__(self, sampler: EpochSampler, rank: int, size: int, batch_size: int) -> None:
        self._sampler = sampler
        self._rank = rank
        self._batch_size = min(batch_size, len(sampler) // size)
        self._rounds = len(sampler) // (size * max(1, self._batch_size))
        self._size = size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next iteration gives. Lightning calls this."""
        self._sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return self._rounds * self._batch_size

    def __iter__(self) -> Iterator[Draw]:
        draws = list(self._sampler)
        for turn in range(self._rounds):
            start = (turn * self._size + self._rank) * self._batch_size
            yield from draws[start : start + self._batch_size]


def _endless(rows: Tensor, generator: torch.Generator) -> Iterator[int]:
    """All rows in a random order, again and again."""
    while True:
        yield from rows[torch.randperm(len(rows), generator=generator)].tolist()


def derive_seed(seed: int, *words: object) -> int:
    """An independent 63-bit seed for one purpose of a run."""
    digest = hashlib.sha256(repr((seed, *words)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with torch's CPU generator at `seed`, and put the generator back.

    `torch.random.fork_rng` with `torch.manual_seed` does the same in 130 µs instead of 2, because it
    visits every device; once per picture that is most of the time of an epoch on small ones.
    """
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)
