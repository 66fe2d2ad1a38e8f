"""What a language model's cache of keys and values saves: time per token with it and without, side by side.

    python -m demos.text_cache_study gpt.onnx [gpt.pte …]

Reads one more token behind texts of rising length, once with the graph ``step`` and its cache, once by
reading everything anew with the graph ``main``, in turns, and compares the logits of both. Times are those of
the processor with one thread: what a machine without other work would take, whatever else runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from runtimes import MAIN_GRAPH, Array
from sdk import Predictor
from sdk.generation.cache import KEYS, LENGTH, LOGITS, STEP, TOKEN, VALUES
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS

LENGTHS = (8, 16, 32, 64, 128, 192, 255, 511, 1023)
ROUNDS = 40
"""Of each; what is told is their median."""


class Row(NamedTuple):
    """Both ways at one length.

    Attributes:
        before: Tokens before the one that is read.
        step_ms: With the cache.
        whole_ms: Reading everything anew.
        difference: Largest difference of a logit between the two.
    """

    before: int
    step_ms: float
    whole_ms: float
    difference: float


def compare_at(predictor: Predictor, ids: Array) -> Row:
    """Read the last of `ids` both ways.

    Args:
        predictor: An artifact of task ``gpt``.
        ids: int64 (1, T), T at least 2.
    """
    before = ids.shape[1] - 1
    everything = {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)}
    whole = predictor.run(everything, MAIN_GRAPH)
    cached = {
        TOKEN: ids[:, before:].copy(),
        KEYS: np.ascontiguousarray(whole[KEYS][:, :before]),
        VALUES: np.ascontiguousarray(whole[VALUES][:, :before]),
        LENGTH: np.full((1, 1), before),
    }
    step = predictor.run(cached, STEP)
    times: dict[str, list[float]] = {STEP: [], MAIN_GRAPH: []}
    for _ in range(ROUNDS):
        for name, arrays in ((STEP, cached), (MAIN_GRAPH, everything)):
            begin = time.process_time()
            predictor.run(arrays, name)
            times[name].append(1e3 * (time.process_time() - begin))
    difference = float(np.abs(step[LOGITS] - whole[LOGITS][:, before]).max())
    step_ms, whole_ms = (float(np.median(times[name])) for name in (STEP, MAIN_GRAPH))
    return Row(before, step_ms, whole_ms, difference)


def study(path: str) -> Iterator[Row]:
    """A row per length that fits the artifact's context."""
    with Predictor(path, threads=1) as predictor:
        output = predictor.spec.output
        ids = np.random.default_rng(0).integers(0, output.vocabulary, (1, output.context))  # type: ignore[attr-defined]
        for before in LENGTHS:
            if before < ids.shape[1]:
                yield compare_at(predictor, ids[:, : before + 1].copy())


def main() -> None:
    """Print a table for each artifact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("artifacts", nargs="+", metavar="ARTIFACT")
    for path in parser.parse_args().artifacts:
        print(f"{path}\n{'before':>7} {'step ms':>9} {'whole ms':>9} {'faster':>7}  difference")
        for row in study(path):
            gain = row.whole_ms / row.step_ms
            print(
                f"{row.before:7d} {row.step_ms:9.3f} {row.whole_ms:9.3f} {gain:6.1f}×  {row.difference:.1e}"
            )


if __name__ == "__main__":
    main()
