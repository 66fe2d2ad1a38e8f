"""Layer times of a torch network: hooks around each module that holds no other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from runtimes.layer_times import OUTSIDE, Lap


def profile_modules(network: Any, device: Any, run: Callable[[], object], runs: int) -> list[Lap]:
    """Run once to warm up and then `runs` times.

    What a network does outside of modules (additions, reshapes, the hooks themselves) is one row of its own.
    While hooks are on, other threads' runs of the same network are slower, and not counted apart.

    Args:
        network: The `torch.nn.Module`.
        device: Where it is; on a GPU every module is waited for.
        run: Runs it once.
        runs: How often.
    """
    import torch

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    laps: list[Lap] = []
    begun: dict[str, float] = {}
    where = str(device).upper()
    run()
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if next(module.children(), None) is None:
                kind = type(module).__name__
                shown = name or kind
                before = module.register_forward_pre_hook(_starter(begun, shown, now))
                after = module.register_forward_hook(_stopper(laps, begun, (shown, kind, where), now))
                hooks.callback(before.remove)
                hooks.callback(after.remove)
        begin = now()
        for _ in range(runs):
            run()
        whole_ms = (now() - begin) * 1e3
    inside_ms = sum(lap.ms for lap in laps)
    return [*laps, Lap("outside of modules", OUTSIDE, where, whole_ms - inside_ms)]


def _starter(begun: dict[str, float], name: str, now: Callable[[], float]) -> Callable[..., None]:
    def start(*_: Any) -> None:
        begun[name] = now()

    return start


def _stopper(
    laps: list[Lap], begun: dict[str, float], named: tuple[str, str, str], now: Callable[[], float]
) -> Callable[..., None]:
    name, kind, where = named

    def stop(*_: Any) -> None:
        end = now()
        laps.append(Lap(name, kind, where, (end - begun[name]) * 1e3))

    return stop
