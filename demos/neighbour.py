"""A noisy neighbour: works and rests in bursts of random length until its input ends.

python -m demos.neighbour SEED
"""

from __future__ import annotations

import random
import sys
import threading
import time

import numpy as np

SHORTEST_S, LONGEST_S = 0.05, 0.5


def main(seed: int) -> None:
    """Busy half of the time, as a machine that runs other jobs is."""
    order, matrix = random.Random(seed), np.random.default_rng(seed).random((300, 300))
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not over.is_set():
        until = time.perf_counter() + order.uniform(SHORTEST_S, LONGEST_S)
        while time.perf_counter() < until:
            matrix @ matrix
        time.sleep(order.uniform(SHORTEST_S, LONGEST_S))


if __name__ == "__main__":
    main(int(sys.argv[1]))
