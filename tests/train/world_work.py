"""What tests run in processes that are joined."""

from __future__ import annotations

import os
from typing import Any

from runtimes import DataError
from train.distributed import World, joined
from train.tasks.base import Split


def agree(count: int, _say: Any) -> dict[str, Any]:
    """Judge a split of `count` items in parts, and try what fails in one process or in another."""
    split = Split("val", list(range(count)), list(range(count)), (), "")
    with joined(World.of_environment(), "cpu") as world:
        part = world.part_of(split)
        results = [f"{world.rank}:{part.items[row]}" for row in range(len(part))]
        whole = world.collected(results, split)
        told = world.by_first(lambda: f"said by {world.rank}")
        own = world.together(lambda: world.rank)
        return {"whole": whole, "told": told, "own": own, "pid": os.getpid()}


def fail(rank: int, alike: bool, _say: Any) -> None:
    """One process fails: in a step that all make together, or in one that the first makes for all."""
    with joined(World.of_environment(), "cpu") as world:
        step = world.together if alike else world.by_first
        step(lambda: _refuse() if world.rank == rank else None)


def vanish(_say: Any) -> None:
    """The second process leaves while the first waits for it; that one raises what it makes of it."""
    with joined(World.of_environment(), "cpu") as world:
        if world.rank == 1:
            os._exit(0)
        world.together(lambda: None)


def _refuse() -> None:
    raise DataError("Data 'x'", got="nothing", expected="something", fix="Add it.")
