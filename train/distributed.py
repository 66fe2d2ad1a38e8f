"""The processes that train one network together: who they are, and how they agree.

Each holds a copy of the network and works on its own part of every batch; gradients, batch statistics,
figures and decisions are shared, so that the whole is one run. `World()` is a run in a single process, for
which nothing here does anything.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.environments import LightningEnvironment

from runtimes import EdgewrightError, UsageError
from train.processes import LOCAL_RANK, LOCAL_SIZE, MEETING, RANK, SIZE, LostContactError
from train.tasks.base import Split

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: longer than the first one needs to judge a large test split. One
that dies is noticed at once."""
_LOST = ("gloo", "nccl", "connection", "peer", "socket", "timed out")

T = TypeVar("T")


class KnownEnvironment(LightningEnvironment):
    """Lightning's, without forgetting at the end of a fit how many processes there are (2.6 does)."""

    def teardown(self) -> None:
        """Leave the environment as it is."""


@dataclass(frozen=True)
class World:
    """This process among those of its run.

    Attributes:
        rank: Its number, from 0.
        size: How many there are, on all machines.
        local_rank: Its number on this machine, from 0: the GPU that it takes.
        local_size: How many run on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def of_environment(cls) -> World:
        """The world that whoever started this process speaks of; a single process where nobody does.

        Raises:
            UsageError: It makes no sense, or the machines do not run equally many processes.
        """
        names = (RANK, SIZE, LOCAL_RANK, LOCAL_SIZE)
        found = [os.environ[name] for name in names if name in os.environ]
        if os.environ.get(SIZE, "1") == "1":
            return cls()
        told = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
        if len(found) < len(names) or not all(word.isdigit() for word in found):
            raise _wrong_environment(told)
        world = cls(*map(int, found))
        fits = world.rank < world.size and world.local_rank < world.local_size <= world.size
        if not fits or world.size % world.local_size:
            raise _wrong_environment(told)
        return world

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and does the talking."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """Machines that take part."""
        return self.size // self.local_size

    def loading(self, num_workers: int) -> dict[str, Any]:
        """How a `DataLoader` is told to load with `num_workers` processes.

        A process that trains with others must not be forked: gloo's threads enter Python, and a fork at that
        moment may never return (seen with Python 3.11 and torch 2.14). So a server is started that has
        imported what is needed, and forked instead; its children stay from epoch to epoch.
        """
        if self.size == 1 or num_workers == 0:
            return {"num_workers": num_workers}
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["train.batches"])
        return {
            "num_workers": num_workers,
            "multiprocessing_context": context,
            "persistent_workers": True,
        }

    def by_first(self, action: Callable[[], T]) -> T:
        """Run `action` in the first process; what it gives, every process gets.

        Raises:
            EdgewrightError: In the first process, what `action` raised.
            SystemExit: In the others then, with its exit code: one of them has said why.
        """
        if self.size == 1:
            return action()
        outcome: list[Any] = [_outcome(action) if self.is_first else None]
        dist.broadcast_object_list(outcome, 0)
        return cast(T, self._settle(outcome[0]))

    def together(self, action: Callable[[], T]) -> T:
        """Run `action` in every process; each gets its own result, unless it fails in any of them.

        Raises:
            EdgewrightError: In the first process, what `action` raised in any.
            SystemExit: In the others then, with its exit code.
        """
        if self.size == 1:
            return action()
        outcome = _outcome(action)
        errors: list[Any] = [None] * self.size
        dist.all_gather_object(errors, outcome.error)
        first = next((error for error in errors if error is not None), None)
        return cast(T, self._settle(replace(outcome, error=first)))

    def _settle(self, outcome: _Outcome) -> Any:
        if outcome.error is None:
            return outcome.value
        if self.is_first:
            raise outcome.error
        raise SystemExit(outcome.error.exit_code)

    def part_of(self, split: Split) -> Split:
        """What of a split this process judges: every `size`-th item; all of it where there are too few."""
        if not self._divides(len(split)):
            return split
        return replace(
            split,
            items=_Every(split.items, self.rank, self.size),
            targets=_Every(split.targets, self.rank, self.size),
        )

    def collected(self, results: list[Any], split: Split) -> list[Any]:
        """The results of all of a split, in its order, from what every process has for `part_of` it.

        Args:
            results: One per item of this process's part.
            split: All of it.

        Returns:
            In the first process, one per item of the split; nothing in the others.
        """
        if not self._divides(len(split)):
            return results
        parts: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(results, parts, 0)
        if parts is None:
            return []
        whole: list[Any] = [None] * len(split)
        for rank, part in enumerate(parts):
            whole[rank :: self.size] = part
        return whole

    def _divides(self, count: int) -> bool:
        return self.size > 1 and count >= self.size


@contextmanager
def joined(world: World, accelerator: str) -> Iterator[World]:
    """Connect the processes of a world for the with-block.

    Args:
        world: They meet as the environment says: at a file, or where torchrun listens.
        accelerator: ``cpu`` (gloo) or ``gpu`` (NCCL, with gloo for what is not on the GPU).

    Raises:
        LostContactError: Another process ended, or cannot be reached.
    """
    if world.size == 1:
        yield world
        return
    if accelerator == "gpu":
        torch.cuda.set_device(world.local_rank)
    try:
        backend = "gloo" if accelerator == "cpu" else "cpu:gloo,cuda:nccl"
        if not dist.is_initialized():
            file = os.environ.get(MEETING)
            dist.init_process_group(
                backend,
                None if file is None else f"file://{file}",
                rank=world.rank,
                world_size=world.size,
                timeout=PATIENCE,
            )
        yield world
    except RuntimeError as error:
        # torch has no class for a peer that is gone: gloo raises RuntimeError itself, NCCL DistBackendError.
        words = str(error).lower()
        if not any(word in words for word in _LOST):
            raise
        raise LostContactError(
            f"Training process {world.rank + 1} of {world.size}",
            got="no answer from another process",
            expected="all of them at work to the end",
            fix="See what the other process says; continue the run with --resume.",
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@dataclass(frozen=True)
class _Outcome:
    value: Any
    error: EdgewrightError | None


def _outcome(action: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(action(), None)
    except EdgewrightError as error:
        return _Outcome(None, error)


class _Every(Sequence[Any]):
    """Every `step`-th of some items from `start` on, fetched when asked for."""

    def __init__(self, items: Sequence[Any], start: int, step: int) -> None:
        self._items = items
        self._rows = range(start, len(items), step)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self._items[at] for at in self._rows[row]]
        return self._items[self._rows[row]]


def _wrong_environment(told: str) -> UsageError:
    return UsageError(
        "Environment of the training processes",
        got=told,
        expected=f"{RANK}, {SIZE}, {LOCAL_RANK}, {LOCAL_SIZE}, and as many processes on every machine",
        fix="Start it with torchrun, or clear these variables and use --devices.",
    )
